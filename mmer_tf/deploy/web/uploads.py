"""Sound in files that browsers take for films.

A browser names the kind of a file by its ending: a voice message in `.webm` or `.mp4` is a video to
it, which Gradio's player refuses before anything is sent. The page names such files sound.
"""

SCRIPT = """(() => {
  const ENDINGS = ["webm", "mp4", "m4a", "m4b", "mov", "mkv", "mka", "3gp", "3g2", "ogg", "oga",
    "opus", "flac", "aac", "amr", "wma", "aif", "aiff", "caf"];
  const place = (event) => event.target.closest?.("#mmer-recording, #mmer-long");
  const ending = (file) => file.name.split(".").pop().toLowerCase();
  const foreign = (file) => !file.type.startsWith("audio/") && ENDINGS.includes(ending(file));

  function asSound(files) {
    const sound = new DataTransfer();
    for (const one of files) {
      const named = () => new File([one], one.name, { type: "audio/" + ending(one) });
      sound.items.add(foreign(one) ? named() : one);
    }
    return sound;
  }

  const concerns = (files) => Array.from(files ?? []).some(foreign);

  document.addEventListener("click", ({ target }) => {
    if (target.type === "file" && target.closest("#mmer-recording, #mmer-long")) {
      target.accept = ["audio/*", ...ENDINGS.map((one) => "." + one)].join(",");
    }
  }, true);

  document.addEventListener("change", (event) => {
    if (event.target.type !== "file" || !place(event) || !concerns(event.target.files)) return;
    event.target.files = asSound(event.target.files).files;
  }, true);

  document.addEventListener("drop", (event) => {
    if (!place(event) || !concerns(event.dataTransfer?.files)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const dataTransfer = asSound(event.dataTransfer.files);
    const dropped = { bubbles: true, cancelable: true, dataTransfer };
    event.target.dispatchEvent(new DragEvent("drop", dropped));
  }, true);
})();
"""
