// Keeps the status page as it would be if it were loaded anew. The server writes the page; this only
// learns when, asks for it again and puts in what is different. Between that, it counts down.
'use strict';

const words = JSON.parse(document.body.dataset.words);
const connection = document.getElementById('connection');
const news = document.getElementById('news');
const outcome = document.getElementById('outcome');
const dialog = document.getElementById('ask');

// Of a burst of events the page is asked for once, and after this many ms again at the earliest.
const PAUSE = 1000;
const POLL = 5000;
// Time alone changes states, too.
const SELDOM = 30000;
const STREAM_AGAIN = 60000;
const PATIENCE = 10000;

let received = performance.now();
let stream = null;
let isStreaming = false;
let isAsking = false;
let planned = null;
let plannedAt = Infinity;
const touched = new Set();

const say = (word, key) => words[word].replace('{key}', key);

// The page anew

function soon(delay) {
  const at = performance.now() + delay;
  if (at >= plannedAt) return;
  clearTimeout(planned);
  planned = setTimeout(look, delay);
  plannedAt = at;
}

async function look() {
  plannedAt = Infinity;
  if (isAsking) return soon(PAUSE);
  isAsking = true;
  const began = performance.now();
  const patience = AbortSignal.timeout(PATIENCE);
  const response = await fetch(location.href, {signal: patience}).catch(() => null);
  const text = response?.ok ? await response.text().catch(() => null) : null;
  const fresh = new DOMParser().parseFromString(text ?? '', 'text/html');
  // Something in between may answer, with a page of its own.
  if (!fresh.getElementById('keys')) {
    document.body.classList.add('away');
    connection.textContent = response && !response.ok ? await refusal(response) : words.away;
  } else {
    for (const id of ['alarms', 'summary', 'keys']) {
      become(document.getElementById(id), fresh.getElementById(id));
    }
    received = began;
    document.body.classList.remove('away');
    connection.textContent = isStreaming ? words.live : words.polling;
  }
  isAsking = false;
  tick();
  touched.forEach(id => document.getElementById(id)?.classList.add('changed'));
  touched.clear();
  const isWell = isStreaming && !document.body.classList.contains('away');
  soon(isWell ? SELDOM : POLL);
}

// Make one node like another, and leave alone what is so already: what has the focus keeps it.
function become(here, there) {
  const isSame = here.nodeType === there.nodeType && here.nodeName === there.nodeName
    && (here.id ?? '') === (there.id ?? '');
  if (!isSame) return here.replaceWith(document.importNode(there, true));
  if (here.nodeType !== Node.ELEMENT_NODE) {
    if (here.data !== there.data) here.data = there.data;
    return;
  }
  for (const {name} of [...here.attributes]) {
    if (!there.hasAttribute(name) && name !== 'open') here.removeAttribute(name);
  }
  for (const {name, value} of there.attributes) {
    if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  }
  const [old, young] = [[...here.childNodes], [...there.childNodes]];
  old.slice(young.length).forEach(node => node.remove());
  young.forEach((node, i) => {
    if (i < old.length) become(old[i], node);
    else here.append(document.importNode(node, true));
  });
}

// Time passes

function tick() {
  const passed = (performance.now() - received) / 1000;
  for (const time of document.querySelectorAll('[data-in]')) {
    time.textContent = clockFace(time.dataset.in - passed);
  }
  for (const mark of document.querySelectorAll('[data-moves]')) {
    const x = Math.min(Number(mark.dataset.at) + passed * mark.dataset.moves, 1000).toFixed(1);
    mark.setAttribute('x1', x);
    mark.setAttribute('x2', x);
  }
}

function clockFace(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const two = number => String(number).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

// What happens

function listen() {
  stream = new EventSource('/v1/events');
  // It is open before that, also where something in between keeps all events back.
  for (const where of ['begin', 'reset']) {
    stream.addEventListener(where, () => {
      isStreaming = true;
      now();
    });
  }
  stream.onerror = () => {
    isStreaming = false;
    now();
    // What is closed does not come back by itself: there is no such route, or no room.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, STREAM_AGAIN);
  };
  for (const what of Object.keys(words.what)) stream.addEventListener(what, heard);
}

const now = () => soon(0);

function heard(event) {
  const {app, kind, what} = JSON.parse(event.data);
  const key = `${app}/${kind}`;
  if (document.getElementById(key)) {
    news.textContent = `${key}: ${words.what[what]}`;
    touched.add(key);
  }
  soon(PAUSE);
}

// The button

document.addEventListener('click', event => {
  const key = event.target.dataset?.force;
  if (!key) return;
  dialog.dataset.key = key;
  dialog.returnValue = '';
  document.getElementById('question').textContent = say('force title', key);
  dialog.showModal();
});

dialog.addEventListener('close', () => {
  if (dialog.returnValue === 'force') force(dialog.dataset.key);
});

async function force(key) {
  const response = await fetch(`/v1/apps/${key}/refresh`, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: '{}',
  }).catch(() => null);
  // Apart from the news, of which there may be more before this is read.
  if (!response) outcome.textContent = words.away;
  else outcome.textContent = response.ok ? say('forced', key) : await refusal(response);
  now();
}

// Why not, in tokend's words; something in between may have others.
async function refusal(response) {
  const {detail, advice, advice_zh: chinese} = await response.json().catch(() => ({}));
  const todo = (document.documentElement.lang === 'zh' && chinese) || advice;
  return detail ? `${detail}; ${todo}` : words.away;
}

document.body.classList.add('scripted');
setInterval(tick, 1000);
soon(POLL);
listen();
