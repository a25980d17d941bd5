// What a search is for.

import { select } from "/console/api.js";
import { t } from "/console/texts.js";

export const purposes = (me, allowed = me.purposes) => select(t("purpose"), "purpose",
  allowed.filter((name) => me.purposes.includes(name)).map((name) => [name, purpose(name)]));

function purpose(name) {
  switch (name) {
    case "training": return t("training");
    case "caller_request": return t("caller_request");
    default: return t("administration");
  }
}
