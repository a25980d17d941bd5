// The player: lanes on a canvas, and what an audio element lacks. Words, addresses and gaps come from the page.

const SEEK_S = 5;
const JUMP_S = 10;
// Silence that is skipped: no party louder than this, of 255, for this long; this much of it stays at both ends.
const SILENT = 4;
const SILENCE_S = 1.5;
const MARGIN_S = 0.3;

const root = document.getElementById("player");
if (root) start(root);

function start(root) {
  const find = (selector) => root.querySelector(selector);
  const words = JSON.parse(root.dataset.words);
  const lanes = JSON.parse(root.dataset.lanes);
  const gaps = JSON.parse(root.dataset.gaps);
  const duration = Number(root.dataset.duration);
  const audio = find("audio");
  const canvas = find("canvas");
  const position = find("#position");
  const loop = { from: null, to: null };
  const mix = lanes.map(() => ({ muted: false, solo: false }));
  let waveform = null;
  let silences = [];
  let gains = null;

  // Browsers that cannot play Ogg get WAV.
  if (!audio.canPlayType('audio/ogg; codecs="opus"')) audio.src = root.dataset.wav;
  audio.controls = false;
  find(".scripted").hidden = false;

  const now = () => Math.min(audio.currentTime, duration);
  const say = (text) => { find("#said").textContent = text; };

  function clock(s) {
    const all = Math.floor(s);
    const [h, min, sec] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
    const two = (n) => String(n).padStart(2, "0");
    return h > 0 ? `${h}:${two(min)}:${two(sec)}` : `${min}:${two(sec)}`;
  }

  function seek(s) {
    audio.currentTime = Math.max(0, Math.min(s, duration));
    show();
  }

  function toggle() {
    if (!audio.paused) return audio.pause();
    if (now() >= duration - 0.05) audio.currentTime = 0;
    connect();
    audio.play().catch(() => say(words.failed));
  }

  // Each party has a gain of its own; with one or many channels the players' order is not certain, and all are heard.
  function connect() {
    if (gains || lanes.length !== 2) return;
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    const merger = context.createChannelMerger(2);
    context.createMediaElementSource(audio).connect(splitter);
    gains = lanes.map((_, at) => {
      const gain = context.createGain();
      splitter.connect(gain, at);
      gain.connect(merger, 0, at);
      return gain;
    });
    merger.connect(context.destination);
    audio.addEventListener("play", () => context.resume());
    context.resume();
    adjust();
  }

  function adjust() {
    const solo = mix.some((lane) => lane.solo);
    const balance = Number(find("#balance").value);
    const volumes = mix.map((lane, at) => {
      const heard = !lane.muted && (!solo || lane.solo);
      const side = at === 0 ? 1 - Math.max(0, balance) : 1 + Math.min(0, balance);
      return heard ? side : 0;
    });
    root.dataset.volumes = volumes.join(" ");
    gains?.forEach((gain, at) => { gain.gain.value = volumes[at]; });
  }

  function show() {
    const at = now();
    position.value = at;
    position.setAttribute("aria-valuetext", `${clock(at)} ${words.at} ${clock(duration)}`);
    find("#clock").textContent = `${clock(at)} / ${clock(duration)}`;
    draw();
  }

  function tick() {
    if (audio.paused) return;
    const at = audio.currentTime;
    if (loop.to !== null && at >= loop.to) audio.currentTime = loop.from ?? 0;
    else if (find("#skip").checked) {
      const silence = silences.find(([from, to]) => at >= from && at < to - 0.2);
      if (silence && (loop.to === null || silence[1] < loop.to)) audio.currentTime = silence[1];
    }
    show();
    requestAnimationFrame(tick);
  }

  function draw() {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const page = canvas.getContext("2d");
    page.setTransform(scale, 0, 0, scale, 0, 0);
    page.clearRect(0, 0, width, height);
    const x = (s) => (duration > 0 ? (s / duration) * width : 0);
    const each = height / Math.max(1, lanes.length);
    if (loop.from !== null || loop.to !== null) {
      page.fillStyle = colour("--soft");
      page.fillRect(x(loop.from ?? 0), 0, x(loop.to ?? duration) - x(loop.from ?? 0), height);
    }
    lanes.forEach((lane, n) => {
      const middle = each * (n + 0.5);
      const own = lane.role === "employee" ? colour("--employee") : colour("--caller");
      page.fillStyle = own;
      const peaks = waveform?.channels[n] ?? [];
      const perPixel = Math.max(1, (duration * 1000) / (waveform?.every_ms ?? 1) / Math.max(1, width));
      for (let pixel = 0; pixel < width && peaks.length > 0; pixel += 1) {
        let loudest = 0;
        for (let i = Math.floor(pixel * perPixel); i < Math.min(peaks.length, (pixel + 1) * perPixel); i += 1) {
          loudest = Math.max(loudest, peaks[i]);
        }
        // Speech is quiet most of the time: the root shows it.
        const half = Math.max(0.5, Math.sqrt(loudest / 255) * (each / 2 - 6));
        page.fillRect(pixel, middle - half, 1, half * 2);
      }
      for (const [stream, from, to, reason] of gaps) {
        if (stream === n) hatch(page, x(from), each * n + 2, Math.max(2, x(to) - x(from)), each - 4, reason, style);
      }
      page.fillStyle = colour("--page");
      page.font = "12px system-ui, sans-serif";
      const label = page.measureText(lane.name).width;
      page.fillRect(2, each * n + 1, label + 6, 15);
      page.fillStyle = own;
      page.fillText(lane.name, 5, each * n + 13);
    });
    page.fillStyle = colour("--text");
    page.fillRect(Math.round(x(now())) - 1, 0, 2, height);
  }

  /** A span without media: hatched, with its reason where there is room. */
  function hatch(page, left, top, width, height, reason, style) {
    page.save();
    page.beginPath();
    page.rect(left, top, width, height);
    page.clip();
    page.fillStyle = style.getPropertyValue("--soft").trim();
    page.fillRect(left, top, width, height);
    page.strokeStyle = style.getPropertyValue("--quiet").trim();
    page.beginPath();
    for (let at = left - height; at < left + width; at += 7) {
      page.moveTo(at, top + height);
      page.lineTo(at + height, top);
    }
    page.stroke();
    page.font = "12px system-ui, sans-serif";
    const room = page.measureText(reason).width + 8;
    if (room < width) {
      page.fillStyle = style.getPropertyValue("--page").trim();
      page.fillRect(left + 2, top + height / 2 - 9, room, 18);
      page.fillStyle = style.getPropertyValue("--text").trim();
      page.fillText(reason, left + 6, top + height / 2 + 4);
    }
    page.restore();
  }

  function quiet({ every_ms: every, channels }) {
    const spans = [];
    const length = Math.max(0, ...channels.map((peaks) => peaks.length));
    let from = null;
    for (let i = 0; i <= length; i += 1) {
      const silent = i < length && channels.every((peaks) => (peaks[i] ?? 0) <= SILENT);
      if (silent && from === null) from = i;
      if (!silent && from !== null) {
        const [begin, end] = [(from * every) / 1000, (i * every) / 1000];
        if (end - begin >= SILENCE_S) spans.push([begin + MARGIN_S, end - MARGIN_S]);
        from = null;
      }
    }
    return spans;
  }

  async function load() {
    const answer = await fetch(root.dataset.waveform, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const { every_ms, channels } = await answer.json();
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    waveform = { every_ms, channels: channels.map(bytes) };
    silences = quiet(waveform);
    root.dataset.drawn = String(waveform.channels.length);
    draw();
  }

  /** The moment in the address: `#t=83.2`. */
  function goToAddress() {
    const given = new URLSearchParams(location.hash.slice(1)).get("t");
    const s = given === null || given === "" ? NaN : Number(given);
    if (Number.isFinite(s)) seek(s);
  }

  async function link() {
    const address = new URL(location.href);
    address.hash = `t=${now().toFixed(1)}`;
    history.replaceState(null, "", address);
    await navigator.clipboard?.writeText(address.href).catch(() => undefined);
    say(`${words.linked} ${address.href}`);
  }

  function setLoop(name) {
    if (name === null) loop.from = loop.to = null;
    else loop[name] = now();
    if (loop.from !== null && loop.to !== null && loop.to <= loop.from) loop[name === "from" ? "to" : "from"] = null;
    const any = loop.from !== null || loop.to !== null;
    find("#loop-off").disabled = !any;
    say(any ? `${words.looping}: ${clock(loop.from ?? 0)} – ${clock(loop.to ?? duration)}` : "");
    if (loop.from !== null && loop.to === null) loop.to = duration;
    draw();
  }

  const button = (name, text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.name = name;
    made.setAttribute("aria-pressed", "false");
    made.addEventListener("click", () => { made.setAttribute("aria-pressed", String(act())); adjust(); });
    return made;
  };
  if (lanes.length === 2) {
    lanes.forEach((lane, at) => {
      const group = document.createElement("span");
      group.className = "controls";
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", lane.name);
      const name = document.createElement("span");
      name.className = at === 0 ? "of-caller" : "of-employee";
      name.textContent = lane.name;
      group.append(name,
        button(`mute-${at}`, words.mute, () => { mix[at].muted = !mix[at].muted; return mix[at].muted; }),
        button(`solo-${at}`, words.solo, () => { mix[at].solo = !mix[at].solo; return mix[at].solo; }));
      find("#lanes").append(group);
    });
  } else {
    find("#balance-field").hidden = true;
  }

  const keys = {
    " ": toggle, k: toggle,
    ArrowLeft: () => seek(now() - SEEK_S), ArrowRight: () => seek(now() + SEEK_S),
    j: () => seek(now() - JUMP_S), l: () => seek(now() + JUMP_S), Home: () => seek(0),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const control = event.target.closest("button, select, summary, input");
    // What a control does with a key itself stays its own.
    const own = control && (event.key === " " || event.key.startsWith("Arrow") || event.key === "Home")
      && !(control.tagName === "BUTTON" && event.key !== " ");
    if (!act || own) return;
    event.preventDefault();
    act();
  });
  find("#play").addEventListener("click", toggle);
  for (const one of root.querySelectorAll("[data-by]")) {
    one.addEventListener("click", () => seek(now() + Number(one.dataset.by)));
  }
  find("#speed").addEventListener("change", (event) => {
    audio.preservesPitch = true;
    audio.playbackRate = audio.defaultPlaybackRate = Number(event.target.value);
  });
  find("#balance").addEventListener("input", adjust);
  find("#link").addEventListener("click", link);
  find("#loop-from").addEventListener("click", () => setLoop("from"));
  find("#loop-to").addEventListener("click", () => setLoop("to"));
  find("#loop-off").addEventListener("click", () => setLoop(null));
  position.addEventListener("input", () => seek(Number(position.value)));
  canvas.addEventListener("pointerdown", (event) => {
    const along = (moved) => seek(((moved.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth) * duration);
    canvas.setPointerCapture(event.pointerId);
    along(event);
    canvas.addEventListener("pointermove", along);
    canvas.addEventListener("pointerup", () => canvas.removeEventListener("pointermove", along), { once: true });
  });
  const state = () => {
    find("#play").textContent = audio.paused ? words.play : words.stop;
    show();
  };
  audio.addEventListener("play", () => { say(""); state(); requestAnimationFrame(tick); });
  audio.addEventListener("pause", state);
  audio.addEventListener("ended", () => { if (loop.to !== null) { seek(loop.from ?? 0); toggle(); } });
  audio.addEventListener("error", () => say(words.failed));
  audio.addEventListener("seeked", show);
  window.addEventListener("hashchange", goToAddress);
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  adjust();
  goToAddress();
  show();
  load().catch(() => say(words.noWaveform));
}
