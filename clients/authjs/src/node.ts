/** What only Node has: an outbox on disk. */
import { chmod, mkdir, open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

import type { Outbox, OutboxEntry } from "./outbox.js";

/** After so long nobody is writing a file any more. */
const leftMs = 3600000;

const name = /^([0-9a-zA-Z-]{1,100})\.json$/;

/**
 * An outbox of one file for each revocation in a folder: what it has taken survives a crash of the process and of the machine. Files are written beside and renamed, so none is ever half
 * there, and only their owner may read them: they hold the ids of sessions and users. Several processes may share a folder; what two of them publish is one event.
 */
export class FileOutbox implements Outbox {
  readonly #folder: string;
  readonly #limit: number;
  #made: Promise<void> | undefined;

  /** Takes at most limit entries; then add rejects, and the revocation is told to be kept by nobody. */
  constructor(folder: string, limit = 10000) {
    this.#folder = folder;
    this.#limit = limit;
  }

  async add(entry: OutboxEntry): Promise<void> {
    await this.#ready();
    const files = (await readdir(this.#folder)).filter((file) => name.test(file));
    if (files.length >= this.#limit) throw new Error(`the outbox is full with ${files.length} revocations: end what keeps the API from taking them, or give it a higher limit`);
    const path = this.#path(entry.id);
    const beside = `${path}.${crypto.randomUUID()}.tmp`;
    const file = await open(beside, "wx", 0o600);
    try {
      await file.writeFile(JSON.stringify(entry));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
    await this.#syncFolder();
  }

  /** Lists the entries, oldest first. A file that can't be read is passed over and stays, for somebody to look at. */
  async list(): Promise<OutboxEntry[]> {
    await this.#ready();
    const entries: OutboxEntry[] = [];
    for (const file of await readdir(this.#folder)) {
      if (!name.test(file)) continue;
      const entry = parse(await readFile(join(this.#folder, file), "utf8").catch(() => "")); // another process may have removed it
      if (entry && `${entry.id}.json` === file) entries.push(entry);
    }
    return entries.sort((a, b) => a.at - b.at);
  }

  async remove(id: string): Promise<void> {
    await unlink(this.#path(id)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }

  #path(id: string): string {
    if (!name.test(`${id}.json`)) throw new Error("an entry's id must be 1 to 100 letters, digits and hyphens");
    return join(this.#folder, `${id}.json`);
  }

  #ready(): Promise<void> {
    this.#made ??= this.#make();
    return this.#made.catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
  }

  async #make(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await chmod(this.#folder, 0o700);
    // What a crash has left half written. Others may be writing now.
    for (const file of await readdir(this.#folder)) {
      const path = join(this.#folder, file);
      if (!file.endsWith(".tmp")) continue;
      const written = await stat(path).catch(() => undefined); // another process may have finished with it
      if (written && written.mtimeMs < Date.now() - leftMs) await unlink(path).catch(() => {});
    }
  }

  /** A rename is on disk once its folder is. */
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

function parse(text: string): OutboxEntry | undefined {
  try {
    const value = JSON.parse(text) as Partial<OutboxEntry> | null;
    return typeof value?.id === "string" && typeof value.path === "string" && typeof value.idempotencyKey === "string" ? (value as OutboxEntry) : undefined;
  } catch {
    return undefined;
  }
}
