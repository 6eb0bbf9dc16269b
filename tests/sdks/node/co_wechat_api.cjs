// co-wechat-api, pointed at another base URL by its property `prefix`.
'use strict';
const API = require('co-wechat-api');
const converse = require('./conversation.cjs');

const [url, appid, secret] = process.argv.slice(2);

const api = new API(appid, secret);
api.prefix = `${url}/cgi-bin/`;

// As each of its own calls is made.
API.mixin({
  async getApiDomainIp() {
    const { accessToken } = await this.ensureAccessToken();
    return this.request(`${this.prefix}get_api_domain_ip?access_token=${accessToken}`);
  },
});

converse({
  token: async () => ({ token: (await api.ensureAccessToken()).accessToken }),
  ticket: async () => ({ ticket: (await api.getLatestTicket()).ticket }),
  call: async () => ({ ok: Boolean(await api.getApiDomainIp()) }),
});
