// wechat-api, pointed at another base URL by its property `endpoint`.
'use strict';
const { promisify } = require('node:util');
const API = require('wechat-api');
const { make, wrapper } = require('wechat-api/lib/util');
const converse = require('./conversation.cjs');

const [url, appid, secret] = process.argv.slice(2);

const api = new API(appid, secret);
api.endpoint = url; // setEndpoint() takes https alone

// As each of its own calls is made.
make(API.prototype, 'getApiDomainIp', function getApiDomainIp(callback) {
  const address = `${this.endpoint}/cgi-bin/get_api_domain_ip`;
  const query = `access_token=${this.token.accessToken}`;
  this.request(`${address}?${query}`, { dataType: 'json' }, wrapper(callback));
});

const of = (method) => promisify(method.bind(api))();

converse({
  token: async () => ({ token: (await of(api.getLatestToken)).accessToken }),
  ticket: async () => ({ ticket: (await of(api.getLatestTicket)).ticket }),
  call: async () => ({ ok: Boolean(await of(api.getApiDomainIp)) }),
});
