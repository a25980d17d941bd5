//! People of a provider as users of this installation. In: what the provider says of a person. Out: the user, with the rights
//! that the claims give now. A user is known by issuer and subject; the name that stands in the audit log is chosen at the
//! first sign-in and stays, so that no name ever means two people.

use super::claims::{claim, rights, text};
use super::id_token::Told;
use super::refusal::NotByProvider;
use super::relying_party::ProviderSignIns;
use crate::auth::enrolment::new_row;
use crate::auth::four_eyes;
use crate::auth::sign_ins::random;
use crate::auth::user::{Rights, User, checked_display_name, checked_name};
use crate::auth::users::{HOUR_US, REQUEST_HOURS, REQUESTS, RequestKind, USERS};
use crate::index::{Provided, UserPut, UserRequestRow, UserRow};

/// Who stands for the users of a provider, where others have an administrator. No user or token has a space in its name.
const PROVIDER: &str = "identity provider";
/// Characters of a subject's hash in a name.
const HASH_CHARS: usize = 12;

/// A user whom a provider sent.
pub struct Admitted {
    /// The user, with the rights of now.
    pub user: User,
    /// Whether some rights wait for a second administrator.
    pub waits: bool,
}

impl ProviderSignIns {
    /// The user of whoever the provider sent.
    ///
    /// Errors: see [`NotByProvider`].
    pub(super) async fn admit(&self, told: &Told) -> Result<Admitted, NotByProvider> {
        let subject = self.subject(&told.subject);
        let earlier = self.index.user_of_subject(&subject).await?;
        let given = match rights(&self.settings, &told.claims) {
            Ok(given) => given,
            Err(why) => {
                // Who had rights by an earlier token has none any more.
                if let Some(row) = &earlier {
                    self.give(row, told, &Rights::none(), false).await?;
                }
                let name = earlier.map_or_else(|| self.names(told, &subject).remove(0), |row| row.name);
                return Err(NotByProvider::NoRights { name, why });
            }
        };
        let row = match earlier {
            Some(row) if row.disabled => return Err(NotByProvider::Disabled(row.name)),
            Some(row) => row,
            None => self.first_time(told, &subject).await?,
        };
        let confirmed = row.confirmed_roles.as_deref().zip(row.confirmed_departments.as_deref());
        let confirmed = confirmed.and_then(|(roles, departments)| Rights::of_texts(roles, departments));
        let (allowed, waits) = match self.four_eyes {
            true => four_eyes::of_provider(&given, confirmed.as_ref()),
            false => (given.clone(), false),
        };
        // What was confirmed counts for as long as the provider goes on giving it.
        let keeps = confirmed.is_some_and(|confirmed| {
            let needed = four_eyes::of_provider(&given, None).1;
            needed && confirmed.roles().all(|role| given.roles().any(|one| one == role))
        });
        self.give(&row, told, &allowed, keeps).await?;
        if waits {
            self.ask_second(&row, &given).await?;
        }
        let row = self.index.user(&row.id).await?.ok_or_else(|| NotByProvider::Disabled(row.name.clone()))?;
        let user = User::of_row(row);
        if user.actor().is_none() {
            return Err(NotByProvider::NoRole(user.name));
        }
        Ok(Admitted { user, waits })
    }

    async fn give(
        &self,
        row: &UserRow,
        told: &Told,
        rights: &Rights,
        keeps_confirmed: bool,
    ) -> Result<(), NotByProvider> {
        let set = Provided {
            display_name: display_name(told).unwrap_or_else(|| row.display_name.clone()),
            roles: rights.roles_text(),
            departments: rights.departments_text(),
            keeps_confirmed,
            signed_in_at: rights.roles.is_some().then(|| self.clock.wall()),
        };
        Ok(self.index.set_provided(&row.id, &set).await?)
    }

    /// Writes a user for somebody who comes for the first time.
    async fn first_time(&self, told: &Told, subject: &str) -> Result<UserRow, NotByProvider> {
        let id = random::<8>().map_err(|_| NotByProvider::NoRandom)?;
        for name in self.names(told, subject) {
            let shown = display_name(told).unwrap_or_else(|| name.clone());
            let (id, now) = (id.clone(), self.clock.wall());
            let row = UserRow {
                subject: Some(subject.to_owned()),
                ..new_row(id, name, shown, &Rights::none(), PROVIDER, now)
            };
            match self.index.put_user(&row, USERS).await? {
                UserPut::Done => return Ok(row),
                UserPut::TooMany => return Err(NotByProvider::Invalid("there are too many users".into())),
                UserPut::NameTaken => {}
            }
            // Somebody's name, or the same person in another window.
            if let Some(row) = self.index.user_of_subject(subject).await? {
                return Ok(row);
            }
        }
        Err(NotByProvider::Invalid("every name for the person is taken".into()))
    }

    /// Names that a person may get, the best first: the user name, the same at the provider, and one that nobody else has.
    fn names(&self, told: &Told, subject: &str) -> Vec<String> {
        let own = text(&told.claims, &self.settings.user_claim).map(plain).unwrap_or_default();
        let host = url::Url::parse(&self.settings.issuer).ok();
        let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or("provider");
        let last = format!("u{}", &subject[..HASH_CHARS]);
        let wished = [own.clone(), plain(&format!("{own}@{host}"))];
        let good = wished.iter().filter(|_| !own.is_empty()).filter_map(|name| checked_name(name).ok());
        good.chain([last]).collect()
    }

    /// Asks a second administrator for what waits, once.
    async fn ask_second(&self, row: &UserRow, given: &Rights) -> Result<(), NotByProvider> {
        let now = self.clock.wall();
        let request = UserRequestRow {
            id: random::<8>().map_err(|_| NotByProvider::NoRandom)?,
            kind: RequestKind::Roles.name().to_owned(),
            user_id: row.id.clone(),
            roles: given.roles_text(),
            departments: given.departments_text(),
            asked_by: row.name.clone(),
            asked_at: now,
            expires_at: now.plus_micros(REQUEST_HOURS * HOUR_US),
        };
        let waiting = self.index.user_requests(now).await?;
        let same = |one: &UserRequestRow| {
            one.user_id == row.id && one.roles == request.roles && one.departments == request.departments
        };
        if !waiting.iter().any(same) && !self.index.put_user_request(&request, REQUESTS).await? {
            tracing::warn!("too many changes of users wait for a second administrator");
        }
        Ok(())
    }
}

fn display_name(told: &Told) -> Option<String> {
    let of = |path: &str| claim(&told.claims, path)?.as_str();
    let both = of("given_name").zip(of("family_name")).map(|(given, family)| format!("{given} {family}"));
    let named = of("name").map(str::to_owned).or(both)?;
    checked_display_name(&named).ok()
}

/// A user name with what a name may not have replaced: `CITY\ada` is `city-ada`.
fn plain(name: &str) -> String {
    let may = |c: char| c.is_alphanumeric() || "._-@".contains(c);
    let name: String = name.trim().chars().map(|c| if may(c) { c } else { '-' }).take(64).collect();
    let name = name.trim_matches('-').to_lowercase();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("u{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_of_a_provider_becomes_one_that_is_allowed_here() {
        for (theirs, ours) in [
            ("ada", "ada"),
            ("CITY\\Ada", "city-ada"),
            ("Ada Møller", "ada-møller"),
            ("ada@city.example", "ada@city.example"),
            ("12345", "u12345"),
            ("<script>", "script"),
            (" \u{202e}", ""),
        ] {
            assert_eq!(plain(theirs), ours, "{theirs}");
        }
    }
}
