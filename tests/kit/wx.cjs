// A phone on which a mini-program runs: `wx` as WeChat gives it, by the phones of the simulator.
//
//   node wx.cjs WECHAT_URL APPID USER
//
// Each line of stdin is an expression, what it evaluates to is printed as JSON: `open("./me.js")` is
// a page, once it has been loaded; `all(50, () => …)` tells what became of so many at once, and
// `late(() => …, () => …)` what became of the first, which is answered when the second is done.
'use strict';
const path = require('node:path');
const readline = require('node:readline');

const [wechat, appid, user] = process.argv.slice(2);
const storage = new Map();
let page;

async function act(what) {
  const response = await fetch(`${wechat}/simulator/phones/${appid}/${user}/${what}`, { method: 'POST' });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

global.wx = {
  login: () => act('login'),
  getUserInfo: () => act('profile'),
  checkSession: async () => {
    if (!(await act('check-session')).valid) throw new Error('checkSession:fail');
  },
  getStorageSync: (name) => storage.get(name) ?? '',
  setStorageSync: (name, value) => storage.set(name, value),
  request: ({ url, method, data, header, success, fail }) => {
    const headers = { 'Content-Type': 'application/json', ...header };
    fetch(url, { method, headers, body: JSON.stringify(data) })
      .then(async (response) => {
        const text = await response.text();
        const isJson = response.headers.get('Content-Type')?.startsWith('application/json');
        return { statusCode: response.status, data: isJson ? JSON.parse(text) : text };
      })
      .then(success, (error) => fail({ errMsg: `request:fail ${error.message}` }));
  },
};

global.Page = (options) => {
  page = { ...options, setData(more) { this.data = { ...this.data, ...more }; } };
};

const load = (file) => require(path.resolve(file));

async function open(file) {
  delete require.cache[path.resolve(file)];
  load(file);
  await page.onLoad();
  return page.data;
}

async function all(count, call) {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, call));
  return outcomes.map(({ value, reason }) => value ?? { error: reason.message });
}

// What becomes of a call that is answered only when others, which began after it, are done.
async function late(call, others) {
  const { request } = wx;
  let outcome;
  await new Promise((answered) => {
    wx.request = (options) => {
      wx.request = request;
      request({ ...options, success: (answer) => answered(() => options.success(answer)) });
    };
    outcome = call();
  }).then(async (deliver) => {
    await others();
    deliver();
  });
  return outcome;
}

async function converse() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await eval(line)));
  }
}

converse();
