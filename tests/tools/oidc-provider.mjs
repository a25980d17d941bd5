// A certified OpenID Connect provider (npm's oidc-provider) for tests: node oidc-provider.mjs PACKAGE_DIR RECORDER_URL.
// It lets in whoever types a name, as ada a trainer, and prints its issuer. Nothing of it is part of the program.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [dir, recorder] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(dir, 'node_modules/oidc-provider/lib/index.js')));
const people = { ada: { name: 'Ada Møller', groups: ['trainers'] }, per: { name: 'Per Holm', groups: ['staff'] } };

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
// Another site than the recorder's 127.0.0.1: cookies are sent as between two domains.
const issuer = `http://localhost:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'optag',
    client_secret: 'a secret of the client',
    redirect_uris: [`${recorder}/sign-in/oidc/callback`],
    post_logout_redirect_uris: [`${recorder}/sign-in`],
    backchannel_logout_uri: `${recorder}/sign-in/oidc/back-channel-logout`,
    backchannel_logout_session_required: true,
    application_type: 'web',
  }],
  claims: { openid: ['sub', 'sid'], profile: ['name', 'preferred_username', 'groups'] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: ['a key of cookies'] },
  // Without its guard against addresses on this machine.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, ...people[id] }) }),
});
for (const event of ['server_error', 'backchannel.error', 'grant.error', 'authorization.error']) {
  provider.on(event, (...what) => console.error(event, ...what.map((one) => one?.stack ?? one?.clientId ?? '')));
}
server.on('request', provider.callback());
console.log(issuer);
// What else it says goes where nobody waits for it to be read.
console.log = console.info = console.warn = console.error;
