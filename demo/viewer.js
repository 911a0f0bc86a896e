// One playhead over the clip, the map and the figure; the page loads it behind `pictures.js`, as one text.
// ---- the playhead ----------------------------------------------------------------------------------------------------------
const moved = (p) => {
  const parts = [[Math.abs(p.forward), p.forward > 0 ? 'ahead of' : 'behind'], [Math.abs(p.left), p.left > 0 ? 'left of' : 'right of']].filter((v) => v[0] >= 0.1);
  return parts.length ? parts.map((v) => v[0].toFixed(1) + ' m ' + v[1]).join(' and ') + ' the start' : 'at the start';
};
function show(t, from) {
  if (!data) return;
  now = clamp(t, 0, data.duration_s);
  const frame = Math.round(now * data.video_fps);
  root.dataset.frame = frame;
  root.dataset.time = now.toFixed(4);
  if (from !== 'scrub') scrub.value = frame;
  $('.hmv-clock b').textContent = now.toFixed(2);
  const share = clamp(now / data.duration_s, 0, 1), p = at(now);
  root.querySelectorAll('.hmv-cursor').forEach((e) => { e.style.left = share * 100 + '%'; });
  scrub.setAttribute('aria-valuetext', now.toFixed(2) + ' seconds, ' + moved(p));
  root.querySelectorAll('.hmv-chip').forEach((e) => e.classList.toggle('now', now >= +e.dataset.from && now < +e.dataset.to));
  const quarter = clamp(Math.floor((4 * (now - data.start_s)) / (ends() - data.start_s)), 0, 3);
  root.querySelectorAll('.hmv-table tbody tr').forEach((e, k) => e.classList.toggle('now', k === quarter));
  if (!playing) $('.hmv-summary').textContent = 'At ' + now.toFixed(1) + ' s the person is ' + moved(p) + '.';
  drawMap();
  drawFigure();
}
function seek(t) {
  if (!data) return;
  touched = true;
  t = clamp(t, 0, data.duration_s);
  clockFrom = t; clockAt = performance.now();
  if (data.video) video.currentTime = Math.min(t + 0.25 / data.video_fps, Math.max(0, (video.duration || data.duration_s) - 0.001));
  show(t);
}
function pause() {
  playing = false; ticket++;
  video.pause();
  play.classList.remove('on'); play.setAttribute('aria-label', 'Play');
}
function start() {
  if (!data) return;
  const speed = +$('.hmv-speed select').value, mine = ++ticket;
  if (now >= data.duration_s - 1.5 / data.video_fps) seek(0);
  playing = touched = true;
  play.classList.add('on'); play.setAttribute('aria-label', 'Pause');
  clockFrom = now; clockAt = performance.now();
  if (data.video) { video.playbackRate = speed; video.play().catch(() => pause()); }
  const tick = () => {
    if (mine !== ticket) return;
    const t = data.video ? video.currentTime : clockFrom + ((performance.now() - clockAt) / 1000) * speed;
    show(t);
    if (t >= data.duration_s - 0.5 / data.video_fps || (data.video && video.ended)) { pause(); return; }
    requestAnimationFrame(tick);
  };
  if (data.video && video.requestVideoFrameCallback) {
    const paint = (_, meta) => {
      if (mine !== ticket) return;
      show(meta.mediaTime);
      video.requestVideoFrameCallback(paint);
    };
    video.requestVideoFrameCallback(paint);
    video.onended = () => { if (mine === ticket) { pause(); show(data.duration_s); } };
  } else requestAnimationFrame(tick);
}

// ---- what stands around the pictures ---------------------------------------------------------------------------------------
function make(tag, attributes, text) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
}
function furnish() {
  $('.hmv-title').textContent = data.title || 'Track';
  $('.hmv-origin').textContent = data.origin || '';
  const warnings = $('.hmv-warnings');
  warnings.replaceChildren(...(data.warnings || []).map((w) => make('li', {}, w)));
  warnings.hidden = !(data.warnings || []).length;
  $('.hmv-clock span').textContent = data.duration_s.toFixed(1);
  scrub.max = Math.round(data.duration_s * data.video_fps);
  const percent = (s) => clamp((s / data.duration_s) * 100, 0, 100) + '%';
  const lanes = data.lanes.map((lane) => {
    const row = make('div', { class: 'hmv-lane' }), bar = make('div', { class: 'hmv-lane-bar' });
    row.append(make('span', { class: 'hmv-lane-name' }, LANES[lane.name][1]), bar);
    for (const [a, b, short, sentence] of lane.chips) {
      const from = data.start_s + a, to = data.start_s + b;
      const chip = make('button', { type: 'button', class: 'hmv-chip', 'data-from': from, 'data-to': to, 'data-word': short, title: sentence, 'aria-label': sentence + ', at ' + from.toFixed(1) + ' seconds' }, short);
      chip.style.left = percent(from);
      chip.style.width = `max(8px, calc(${percent(to - from)} - 2px))`;
      chip.style.setProperty('--chip', 'var(--' + LANES[lane.name][0] + ')');
      chip.style.setProperty('--chip-ink', 'var(--on-' + LANES[lane.name][0] + ')');
      chip.onclick = () => { pause(); seek(from); };
      bar.append(chip);
    }
    bar.append(make('span', { class: 'hmv-cursor' }));
    return row;
  });
  $('.hmv-lanes').replaceChildren(...lanes);
  $('.hmv-facts').replaceChildren(...data.facts.map(([name, value]) => { const d = make('div'); d.append(make('dt', {}, name), make('dd', {}, value)); return d; }));
  $('.hmv-table tbody').replaceChildren(...data.quarters.map((q, k) => {
    const row = make('tr'), head = make('th', { scope: 'row' }), button = make('button', { type: 'button', class: 'hmv-row', 'aria-label': 'Jump to quarter ' + (k + 1) });
    const dot = make('i'); dot.style.setProperty('--dot', 'var(--q' + (k + 1) + ')');
    button.append(dot, document.createTextNode(['first', 'second', 'third', 'last'][k]));
    head.append(button);
    row.append(head, make('td', {}, q.moved), make('td', {}, q.turned), make('td', {}, q.facing));
    row.onclick = () => { pause(); seek(mark(k)); };
    return row;
  }));
  const named = data.facts.map(([n, v]) => n.toLowerCase() + ': ' + v).join('; ');
  map.setAttribute('aria-label', 'Map of the path from above. ' + named + '.');
  figure.setAttribute('aria-label', 'The figure in 3D with the path on the floor. ' + named + '.');
}
// A word that does not fit into its chip is left out; colour, lane and the button's own name say it.
function trim() {
  for (const chip of root.querySelectorAll('.hmv-chip')) {
    chip.textContent = chip.dataset.word;
    if (chip.scrollWidth > chip.clientWidth) chip.textContent = '';
  }
}
function load() {
  let value = props.value;
  if (typeof value === 'string' && value) value = { payload: value, video: null };
  if (!value || !value.payload) return;
  pause();
  const next = JSON.parse(value.payload);
  next.P = unpack(next.path).map((v) => (v * next.step_mm) / 1000);
  next.H = unpack(next.heading).map((v) => v / 10);
  if (next.body) next.body.J = unpack(next.body.mm).map((v) => v / 1000);
  const box = { left: 0, right: 0, top: 0, bottom: 0 };
  for (let i = 0; i < next.frames; i++) {
    const left = next.P[3 * i], forward = next.P[3 * i + 2];
    box.left = Math.min(box.left, left); box.right = Math.max(box.right, left);
    box.bottom = Math.min(box.bottom, forward); box.top = Math.max(box.top, forward);
  }
  next.box = box;
  next.video = value.video && value.video.url ? value.video.url : null;
  const [w, h] = next.size;
  root.style.setProperty('--aspect', w && h ? w + ' / ' + h : '16 / 9');
  root.style.setProperty('--ratio', w && h ? clamp(w / h, 0.5, 1.9) : 1);
  if (next.video) { if (video.getAttribute('src') !== next.video) video.src = next.video; } else { video.removeAttribute('src'); video.load(); }
  video.hidden = !next.video;
  $('.hmv-novideo').hidden = !!next.video;
  data = next;
  orbit = { yaw: 0.62, pitch: 0.42 };
  readColours();
  furnish();
  trim();
  root.dataset.ready = next.title || 'track';
  seek(0);
  touched = false; // until somebody moves the playhead the whole path is drawn
  show(now);
}

play.onclick = () => (playing ? (pause(), show(now)) : start());
scrub.oninput = () => { const t = +scrub.value / data.video_fps; pause(); seek(t); };
root.querySelectorAll('.hmv-step').forEach((b) => { b.onclick = () => { const t = (Math.round(now * data.video_fps) + +b.dataset.by) / data.video_fps; pause(); seek(t); }; });
root.querySelectorAll('.hmv-marks button').forEach((b) => { b.onclick = () => { const t = mark(+b.dataset.part); pause(); seek(t); }; });
$('.hmv-speed select').onchange = () => { if (playing) { pause(); start(); } };
root.addEventListener('keydown', (e) => {
  if (e.target.matches('select, input') || e.ctrlKey || e.metaKey || e.altKey || !data) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (by) { const t = (Math.round(now * data.video_fps) + by) / data.video_fps; pause(); seek(t); e.preventDefault(); }
  else if (/^[1-4]$/.test(e.key)) { pause(); seek(mark(+e.key - 1)); }
});
let drag = null;
figure.onpointerdown = (e) => { drag = [e.clientX, e.clientY]; figure.setPointerCapture(e.pointerId); };
figure.onpointermove = (e) => {
  if (!drag) return;
  orbit.yaw += (e.clientX - drag[0]) * 0.009;
  orbit.pitch = clamp(orbit.pitch + (e.clientY - drag[1]) * 0.007, 0.06, 1.5);
  drag = [e.clientX, e.clientY];
  drawFigure();
};
figure.onpointerup = figure.onpointercancel = () => { drag = null; };
video.onclick = () => play.onclick();
new ResizeObserver(() => { if (data) { drawMap(); drawFigure(); trim(); } }).observe($('.hmv-panes'));
new MutationObserver(() => { readColours(); if (data) show(now); }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
// Any moment named elsewhere on the page is a button with data-seek; the newest viewer listens.
if (window.hmvSeek) document.removeEventListener('click', window.hmvSeek);
window.hmvSeek = (e) => {
  const target = e.target.closest && e.target.closest('[data-seek]');
  if (!target || !data) return;
  pause();
  seek(+target.dataset.seek);
  if (root.getBoundingClientRect().bottom < 200 || window.innerWidth < 900) $('.hmv-panes').scrollIntoView({ block: 'nearest', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
};
document.addEventListener('click', window.hmvSeek);
watch('value', load);
load();
