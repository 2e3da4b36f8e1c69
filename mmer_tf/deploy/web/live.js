// The live microphone: samples go to /live in order, as many at once as have come meanwhile.
(() => {
  const EVERY = 500; // milliseconds
  const MOST = 60; // seconds that wait for a busy server
  const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process(inputs) {
      if (inputs[0].length) this.port.postMessage(inputs[0][0].slice());
      return true;
    }
  });`;
  let on = null;

  const element = (id) => document.getElementById(id);
  const say = (text) => { element("mmer-live-state").textContent = text; };

  function button(running) {
    const one = element("mmer-live-button");
    one.textContent = running ? "Stop the microphone" : "Start the microphone";
    one.classList.toggle("mmer-on", running);
  }

  async function start() {
    if (!navigator.mediaDevices) {
      say("The browser gives no microphone to this address: open the page at https:// or at 127.0.0.1.");
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      say(`No microphone (${error.name}): allow it in the browser, or connect one.`);
      return;
    }
    const context = new AudioContext();
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    on = { stream, context, key, waiting: [], count: 0, busy: false };
    const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await context.audioWorklet.addModule(address);
    URL.revokeObjectURL(address);
    const tap = new AudioWorkletNode(context, "tap", { channelCount: 1, channelCountMode: "explicit", numberOfOutputs: 0 });
    const here = on;
    tap.port.onmessage = ({ data }) => { here.waiting.push(data); here.count += data.length; };
    context.createMediaStreamSource(stream).connect(tap);
    here.timer = setInterval(() => send(here, false), EVERY);
    button(true);
    say("The microphone is on.");
  }

  async function stop() {
    const here = on;
    await halt(here);
    while (here.busy) await new Promise((done) => setTimeout(done, 50));
    await send(here, true);
  }

  async function send(here, last) {
    if (here.busy || (!here.count && !last)) return;
    if (here.count > MOST * here.context.sampleRate && on === here) {
      await stop();
      say("The microphone was stopped: this machine does not keep up with it.");
      return;
    }
    here.busy = true;
    const samples = new Float32Array(here.count);
    let place = 0;
    for (const one of here.waiting) { samples.set(one, place); place += one.length; }
    here.waiting = [];
    here.count = 0;
    const { run, asr } = window.mmerSettings;
    const query = new URLSearchParams({ run, asr, rate: here.context.sampleRate, last: last ? 1 : 0 });
    try {
      const answer = await fetch(`live?${query}`, {
        method: "POST", body: samples, headers: { "x-microphone": here.key, "content-type": "application/octet-stream" },
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      if (on === here || last) element("mmer-now").innerHTML = text;
      if (on === here && text.includes("mmer-problem")) { here.busy = false; await halt(here); }
    } catch (error) {
      if (on === here) await halt(here);
      say("The connection to the demo is lost: is it still running?");
    } finally {
      here.busy = false;
    }
  }

  async function halt(here) {
    on = null;
    clearInterval(here.timer);
    here.stream.getTracks().forEach((track) => track.stop());
    await here.context.close();
    button(false);
    say("The microphone is off.");
  }

  document.addEventListener("click", (event) => {
    if (event.target.id !== "mmer-live-button") return;
    event.target.disabled = true;
    (on ? stop() : start()).finally(() => { element("mmer-live-button").disabled = false; });
  });
})();
