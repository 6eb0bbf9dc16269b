// The little language of the drivers; python/conversation.py says what it is.
'use strict';
const readline = require('node:readline');

module.exports = async function converse(actions) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(actions[JSON.parse(line).do])));
  }
};

async function answer(action) {
  try {
    return await action();
  } catch (error) {
    const message = `${error.name}: ${error.message}`;
    return { error: { errcode: Number.isInteger(error.code) ? error.code : null, message } };
  }
}
