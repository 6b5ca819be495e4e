// Where the data come from: blocks of this file, or, while a run goes on, the server that served the page.

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// Chunks are read once each and kept as promises.
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

  // The index, or null if nothing happened since the last one.
  async index() {
    const answer = await fetch(`index?cursor=${encodeURIComponent(this.cursor)}`);
    if (answer.status === 204) return null;
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const found = await answer.json();
    this.cursor = found.cursor;
    this.chunks.clear();
    return found;
  }

  async read(run, kind, number) {
    const answer = await fetch(`texts/${kind}/${number}`);
    return answer.ok ? answer.json() : [];
  }
}
