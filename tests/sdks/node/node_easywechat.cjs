// node-easywechat, pointed at another base URL by its setting `http.baseURL`.
'use strict';
const { OfficialAccount } = require('node-easywechat');
const converse = require('./conversation.cjs');

const [url, appid, secret, method] = process.argv.slice(2);

const app = new OfficialAccount({
  app_id: appid,
  secret,
  http: { baseURL: `${url}/` },
  use_stable_access_token: method === 'stable_token',
});

async function call() {
  const answer = (await app.getClient().get('/cgi-bin/get_api_domain_ip')).toObject();
  if (answer.errcode) throw Object.assign(new Error(answer.errmsg), { code: answer.errcode });
  return { ok: true };
}

converse({
  token: async () => ({ token: await app.getAccessToken().getToken() }),
  ticket: async () => ({ ticket: await app.getTicket().getTicket() }),
  call,
});
