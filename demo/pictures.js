// The map and the figure in 3D at a moment of the clip; `viewer.js` follows and moves the moment.  Axes of the data are the person's own at the start: x left, y up, z forward.
const root = element.querySelector('.hmv') || element;
const $ = (s) => root.querySelector(s);
const video = $('video'), scrub = $('.hmv-scrub'), play = $('.hmv-play');
const map = $('.hmv-map canvas'), figure = $('.hmv-body canvas');
const LANES = { walk: ['q2', 'gait'], ahead: ['q1', 'ahead – back'], side: ['q1', 'left – right'], turn: ['q3', 'turning'], body: ['minus', 'body'] };
const MARKS = ['start', '¼', '½', '¾', 'end'];
let data = null, now = 0, touched = false, playing = false, clockFrom = 0, clockAt = 0, ticket = 0, orbit = { yaw: 0.62, pitch: 0.42 }, colours = {};

const clamp = (v, a, b) => Math.min(b, Math.max(a, v));
const unpack = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer), out = new Float32Array(bytes.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = view.getInt16(2 * i, true);
  return out;
};

function readColours() {
  const style = getComputedStyle(root);
  for (const name of ['paper', 'ink', 'soft', 'line', 'edge', 'q1', 'q2', 'q3', 'q4', 'plus', 'minus', 'named', 'now'])
    colours[name] = style.getPropertyValue('--' + name).trim() || '#888888';
  colours.ramp = ['q1', 'q2', 'q3', 'q4'].map((q) => [1, 3, 5].map((i) => parseInt(colours[q].slice(i, i + 2), 16)));
}
// Colour of a share 0-1 of the clip: the quarters' colours, blended.
function ramp(share) {
  const at = clamp(share * 4 - 0.5, 0, 3), i = Math.min(2, Math.floor(at)), f = at - i;
  return 'rgb(' + colours.ramp[i].map((c, k) => Math.round(c + f * (colours.ramp[i + 1][k] - c))).join(',') + ')';
}

// ---- data at a time of the video -------------------------------------------------------------------------------------------
const ends = () => data.start_s + (data.frames - 1) / data.fps;
const within = (t) => clamp((t - data.start_s) * data.fps, 0, data.frames - 1);
function at(t) {
  const f = within(t), i = Math.min(data.frames - 2, Math.floor(f)), a = f - i;
  const mix = (array, k, n) => array[i * n + k] * (1 - a) + array[(i + 1) * n + k] * a;
  return { left: mix(data.P, 0, 3), up: mix(data.P, 1, 3), forward: mix(data.P, 2, 3), heading: mix(data.H, 0, 1) };
}
function joints(t) {
  const b = data.body, p = at(t);
  if (!b) return null;
  const f = clamp((t - data.start_s) * b.fps, 0, b.frames - 1), i = Math.min(b.frames - 2, Math.floor(f)), a = f - i, n = b.joints * 3;
  const out = [];
  for (let j = 0; j < b.joints; j++) {
    const k = i * n + j * 3, v = [0, 1, 2].map((c) => b.J[k + c] * (1 - a) + b.J[k + n + c] * a);
    out.push([p.left + v[0], p.up + v[1], p.forward + v[2]]);
  }
  return out;
}
const unsure = (t) => data.unsure.some(([a, b]) => t - data.start_s >= a && t - data.start_s < b);
const unfaced = (t) => data.unknown_facing.some(([a, b]) => t - data.start_s >= a && t - data.start_s < b);
const mark = (k) => data.start_s + (k / 4) * (ends() - data.start_s);

// ---- canvases --------------------------------------------------------------------------------------------------------------
function begin(canvas) {
  const ratio = Math.min(2, window.devicePixelRatio || 1), w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  c.lineCap = c.lineJoin = 'round';
  c.font = '600 12px system-ui, sans-serif';
  return [c, w, h];
}
function arrow(c, x, y, dx, dy, length, width, colour) {
  c.strokeStyle = c.fillStyle = colour;
  c.lineWidth = width;
  const head = Math.max(5, length * 0.38), ex = x + dx * length, ey = y + dy * length;
  c.beginPath(); c.moveTo(x, y); c.lineTo(ex - dx * head * 0.7, ey - dy * head * 0.7); c.stroke();
  c.beginPath(); c.moveTo(ex, ey);
  c.lineTo(ex - dx * head - dy * head * 0.5, ey - dy * head + dx * head * 0.5);
  c.lineTo(ex - dx * head + dy * head * 0.5, ey - dy * head - dx * head * 0.5);
  c.closePath(); c.fill();
}
// The path as coloured pieces; `to` maps (left, forward) metres to the picture.
function drawPath(c, to, width, until) {
  const steps = Math.min(data.frames - 1, 240), lasts = ends() - data.start_s;
  for (let k = 0; k < steps; k++) {
    const t0 = data.start_s + (lasts * k) / steps, t1 = data.start_s + (lasts * (k + 1)) / steps, a = at(t0), b = at(t1);
    c.strokeStyle = ramp((k + 0.5) / steps);
    c.globalAlpha = (t1 <= until + 1e-6 ? 1 : 0.35) * (unsure(t0) ? 0.45 : 1);
    c.lineWidth = unsure(t0) ? width * 0.4 : width;
    const p = to(a.left, a.forward), q = to(b.left, b.forward);
    if (!p || !q) continue;
    c.beginPath(); c.moveTo(p[0], p[1]); c.lineTo(q[0], q[1]); c.stroke();
  }
  c.globalAlpha = 1;
}
const facing = (heading) => [-Math.sin((heading * Math.PI) / 180), -Math.cos((heading * Math.PI) / 180)]; // on the map: left is left, up is ahead

function drawMap() {
  const [c, w, h] = begin(map);
  if (!w || !h) return;
  const { box } = data, room = 38; // the arrow at the playhead must fit in
  const scale = Math.min((w - 2 * room) / Math.max(1.6, box.right - box.left), (h - 2 * room - 12) / Math.max(1.6, box.top - box.bottom), 130);
  const cx = w / 2 + ((box.left + box.right) / 2) * scale, cy = (h - 12) / 2 + ((box.top + box.bottom) / 2) * scale;
  const to = (left, forward) => [cx - left * scale, cy - forward * scale]; // the person's left is drawn left
  data.to = to;
  const every = scale > 24 ? 1 : scale > 9 ? 2 : scale > 4 ? 5 : 20;
  c.lineWidth = 1; c.strokeStyle = colours.line;
  for (let m = -400; m <= 400; m += every) {
    const x = Math.round(cx - m * scale) + 0.5, y = Math.round(cy - m * scale) + 0.5;
    if (x > 0 && x < w) { c.beginPath(); c.moveTo(x, 0); c.lineTo(x, h); c.stroke(); }
    if (y > 0 && y < h) { c.beginPath(); c.moveTo(0, y); c.lineTo(w, y); c.stroke(); }
  }
  c.strokeStyle = colours.soft; c.lineWidth = 1.5;
  c.beginPath(); c.moveTo(12, h - 16); c.lineTo(12, h - 12); c.lineTo(12 + every * scale, h - 12); c.lineTo(12 + every * scale, h - 16); c.stroke();
  c.fillStyle = colours.soft; c.font = '11.5px system-ui, sans-serif'; c.textAlign = 'left'; c.textBaseline = 'alphabetic';
  c.fillText(every + ' m', 16, h - 17);
  drawPath(c, to, 5, touched ? now : Infinity);

  // Where they faced, every half second; standing still adds nothing unless they turn.
  const lasts = ends() - data.start_s, gap = lasts > 12 ? 1 : 0.5;
  let last = null;
  for (let s = 0; s <= lasts + 1e-6; s += gap) {
    const t = data.start_s + s, p = at(t);
    if (unsure(t) || unfaced(t)) continue;
    if (last && Math.hypot(p.left - last.left, p.forward - last.forward) < Math.max(0.15, 16 / scale) && Math.abs(p.heading - last.heading) < 20) continue;
    last = p;
    const [x, y] = to(p.left, p.forward), [dx, dy] = facing(p.heading);
    c.globalAlpha = t <= now || !touched ? 0.95 : 0.45;
    arrow(c, x, y, dx, dy, 15, 1.6, colours.ink);
  }
  c.globalAlpha = 1;

  MARKS.forEach((_, k) => {
    const p = at(mark(k)), [x, y] = to(p.left, p.forward);
    c.fillStyle = colours.paper; c.strokeStyle = ramp(k / 4); c.lineWidth = 2.5;
    c.beginPath(); c.arc(x, y, 4.5, 0, 7); c.fill(); c.stroke();
  });
  const p0 = at(now), [x0, y0] = to(p0.left, p0.forward), [dx0, dy0] = facing(p0.heading);
  if (!unfaced(now)) arrow(c, x0, y0, dx0, dy0, 34, 3.2, colours.now);
  c.fillStyle = colours.now; c.strokeStyle = colours.paper; c.lineWidth = 2;
  c.beginPath(); c.arc(x0, y0, 7, 0, 7); c.fill(); c.stroke();

  // Quarter marks, each label where it covers least of the path and of the other labels.
  const taken = [], dots = [];
  for (let k = 0; k <= 60; k++) { const p = at(data.start_s + (lasts * k) / 60), q = to(p.left, p.forward), d = facing(p.heading); dots.push(q, [q[0] + 9 * d[0], q[1] + 9 * d[1]]); }
  MARKS.forEach((name, k) => {
    const p = at(mark(k)), [x, y] = to(p.left, p.forward), wide = name.length > 1 ? 30 : 14;
    let best = null;
    for (let i = 0; i < 16; i++) {
      const far = i < 8 ? 17 : 27, a = ((i % 8) / 8) * 2 * Math.PI, lx = clamp(x + Math.cos(a) * (far + wide / 4), wide / 2 + 3, w - wide / 2 - 3), ly = clamp(y + Math.sin(a) * far, 9, h - 24);
      let cost = i < 8 ? 0 : 2;
      for (const d of dots) if (Math.abs(d[0] - lx) < wide / 2 + 4 && Math.abs(d[1] - ly) < 10) cost += 1;
      if (lx - wide / 2 < 24 + every * scale && ly > h - 38) cost += 15; // the scale stands there
      for (let r = 8; r <= 34; r += 6) if (Math.abs(x0 + r * dx0 - lx) < wide / 2 + 4 && Math.abs(y0 + r * dy0 - ly) < 11) cost += 3;
      for (const b of taken) if (Math.abs(b[0] - lx) < (wide + b[2]) / 2 + 3 && Math.abs(b[1] - ly) < 15) cost += 20;
      if (!best || cost < best[0]) best = [cost, lx, ly];
    }
    taken.push([best[1], best[2], wide]);
    c.font = '600 12px system-ui, sans-serif'; c.textAlign = 'center'; c.textBaseline = 'middle';
    c.lineWidth = 4; c.strokeStyle = colours.paper; c.strokeText(name, best[1], best[2]);
    c.fillStyle = colours.ink; c.fillText(name, best[1], best[2]);
  });

  map.dataset.at = x0.toFixed(1) + ',' + y0.toFixed(1);
}

function drawFigure() {
  const [c, w, h] = begin(figure);
  if (!w || !h) return;
  const { box } = data, mid = [(box.left + box.right) / 2, data.floor_m + 0.75, (box.top + box.bottom) / 2];
  const reach = Math.max(2.2, Math.hypot(box.right - box.left, box.top - box.bottom) * 0.5 + 0.9);
  const cosP = Math.cos(orbit.pitch), sinP = Math.sin(orbit.pitch);
  // The camera stands behind the start and above, looking ahead; its right is the person's right there.
  const ahead = [Math.sin(orbit.yaw) * cosP, -sinP, Math.cos(orbit.yaw) * cosP];
  const right = [-Math.cos(orbit.yaw), 0, Math.sin(orbit.yaw)];
  const up = [Math.sin(orbit.yaw) * sinP, cosP, Math.cos(orbit.yaw) * sinP];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2], far = reach * 2.7;
  const cast = (v) => {
    const r = [v[0] - mid[0], v[1] - mid[1], v[2] - mid[2]], z = dot(r, ahead) + far;
    return z < 0.2 ? null : [dot(r, right) / z, -dot(r, up) / z, z];
  };
  // As large as the path, the people on it and the names at the start allow.
  const must = [[0, data.floor_m, 1.1], [1.1, data.floor_m, 0]];
  for (let k = 0; k <= 24; k++) { const p = at(mark(k / 6)); for (const tall of [0, 1.75]) must.push([p.left, data.floor_m + tall, p.forward]); }
  const seen = must.map(cast).filter(Boolean), xs = seen.map((p) => p[0]), ys = seen.map((p) => p[1]);
  const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
  const zoom = Math.min((w - 48) / Math.max(1e-6, x1 - x0), (h - 40) / Math.max(1e-6, y1 - y0), h / 1.1 * far / 1.75);
  const project = (v) => {
    const p = cast(v);
    return p && [w / 2 + (p[0] - (x0 + x1) / 2) * zoom, h / 2 + 2 + (p[1] - (y0 + y1) / 2) * zoom, p[2]];
  };
  const line = (a, b) => { const p = project(a), q = project(b); if (p && q) { c.beginPath(); c.moveTo(p[0], p[1]); c.lineTo(q[0], q[1]); c.stroke(); } };
  const y = data.floor_m, size = Math.ceil(reach + 0.3), gx = Math.round(mid[0]), gz = Math.round(mid[2]), every = size > 14 ? 5 : 1;
  c.strokeStyle = colours.line; c.lineWidth = 1;
  for (let k = -size; k <= size; k += every) {
    line([gx + k, y, gz - size], [gx + k, y, gz + size]);
    line([gx - size, y, gz + k], [gx + size, y, gz + k]);
  }
  const floor = (left, forward) => project([left, y, forward]);
  drawPath(c, floor, 4, touched ? now : Infinity);
  // The start: ahead and left, as lines on the floor with their names.
  c.lineWidth = 2; c.font = '11.5px system-ui, sans-serif'; c.textAlign = 'center'; c.textBaseline = 'middle';
  for (const [v, colour, name] of [[[0, 0, 0.8], colours.plus, 'ahead'], [[0.8, 0, 0], colours.q4, 'left']]) {
    c.strokeStyle = colour; line([0, y, 0], [v[0], y, v[2]]);
    const p = project([v[0] * 1.3, y, v[2] * 1.3]);
    if (p) { c.lineWidth = 3; c.strokeStyle = colours.paper; c.strokeText(name, p[0], p[1]); c.fillStyle = colour; c.fillText(name, p[0], p[1]); c.lineWidth = 2; }
  }
  for (let k = 0; k < 5; k++) drawBody(c, project, mark(k), 0.26);
  const at0 = drawBody(c, project, now, 1);
  if (at0) figure.dataset.at = at0[0].toFixed(1) + ',' + at0[1].toFixed(1);
}
function drawBody(c, project, t, alpha) {
  const p = at(t), J = joints(t), pelvis = project([p.left, p.up, p.forward]);
  if (!pelvis) return null;
  c.globalAlpha = alpha;
  const thick = alpha === 1 ? 4.2 : 3, colour = { c: colours.named, l: colours.plus, r: colours.minus };
  if (J) {
    const P = J.map(project);
    for (const [a, b, side] of data.body.bones) {
      if (!P[a] || !P[b]) continue;
      c.strokeStyle = alpha === 1 ? colour[side] : colours.soft; c.lineWidth = thick;
      c.beginPath(); c.moveTo(P[a][0], P[a][1]); c.lineTo(P[b][0], P[b][1]); c.stroke();
    }
    const head = P[data.body.head], r = head && pelvis ? clamp(Math.abs(head[1] - pelvis[1]) * 0.16, 2.5, 13) : 0;
    if (head) { c.fillStyle = alpha === 1 ? colours.named : colours.soft; c.beginPath(); c.arc(head[0], head[1] - r * 0.3, r, 0, 7); c.fill(); }
  } else {
    const foot = project([p.left, data.floor_m, p.forward]), top = project([p.left, p.up + 0.75, p.forward]);
    if (foot && top) {
      c.strokeStyle = alpha === 1 ? colours.named : colours.soft; c.lineWidth = thick * 1.5;
      c.beginPath(); c.moveTo(foot[0], foot[1]); c.lineTo(top[0], top[1]); c.stroke();
      c.fillStyle = c.strokeStyle; c.beginPath(); c.arc(top[0], top[1], thick * 1.6, 0, 7); c.fill();
    }
  }
  if (!unfaced(t)) {
    const a = (p.heading * Math.PI) / 180, tip = project([p.left + 0.55 * Math.sin(a), data.floor_m, p.forward + 0.55 * Math.cos(a)]), foot = project([p.left, data.floor_m, p.forward]);
    if (tip && foot) {
      const d = Math.hypot(tip[0] - foot[0], tip[1] - foot[1]) || 1;
      arrow(c, foot[0], foot[1], (tip[0] - foot[0]) / d, (tip[1] - foot[1]) / d, d, alpha === 1 ? 2.6 : 1.6, alpha === 1 ? colours.now : colours.soft);
    }
  }
  c.globalAlpha = 1;
  return pelvis;
}
