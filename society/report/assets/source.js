// Sources of the data: blocks in this file, or the server of a live page.

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// Reads each chunk once and keeps its promise.
class Source {
  chunks = new Map();

  chunk(run, kind, number) {
    const name = `${kind}-${run}-${number}`;
    if (!this.chunks.has(name)) this.chunks.set(name, this.read(run, kind, number, name));
    return this.chunks.get(name);
  }

  async texts(run, kind, position) {
    const chunk = await this.chunk(run, kind, Math.floor(position / data.chunk));
    return chunk[position % data.chunk];
  }
}

class FileSource extends Source {
  index() {
    return unpack(byId("index").textContent);
  }

  read(run, kind, number, name) {
    return unpack(byId(name).textContent);
  }
}

class LiveSource extends Source {
  cursor = "";

  // The index, or null if the run has not changed since the last request.
  async index() {
    const answer = await fetch(`index?cursor=${encodeURIComponent(this.cursor)}`);
    if (answer.status === 204) return null;
    if (!answer.ok) throw new Error(`the server responded with status ${answer.status}`);
    const found = await answer.json();
    this.cursor = found.cursor;
    this.chunks.clear();
    return found;
  }

  async read(run, kind, number) {
    const answer = await fetch(`texts/${kind}/${number}`);
    return answer.ok ? answer.json() : [];
  }

  // Passes each new index to `show`, until the server stops or responds with an error, which `badge` then shows.
  async follow(badge, pause, show) {
    badge.hidden = false;
    for (;;) {
      let found = null;
      try {
        found = await this.index();
      } catch (error) {
        badge.textContent = error instanceof TypeError ? "the server has stopped" : error.message;
        badge.classList.add("ended");
        return;
      }
      if (found) show(found);
      await new Promise((wake) => {
        setTimeout(wake, pause);
      });
    }
  }
}
