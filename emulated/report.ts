/**
 * What the tool itself says, on standard error, apart from the command's output.
 *
 * @module
 */

const started = performance.now();

/** Seconds since the tool was started, as in "9.1". */
export function elapsed(): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

/** Writes all of the bytes: one call may take only a part. */
export function writeAll(
  target: { writeSync(bytes: Uint8Array): number },
  bytes: Uint8Array,
): void {
  for (let offset = 0; offset < bytes.length;) {
    offset += target.writeSync(bytes.subarray(offset));
  }
}

/** Lines for those who watch, and what happens meanwhile where they want it. */
export class Report {
  readonly #verbose: boolean;
  readonly #terminal = Deno.stderr.isTerminal();
  #transient = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: { verbose: boolean }) {
    this.#verbose = options.verbose;
  }

  /** A line that everybody sees. */
  say(message: string): void {
    this.#write(`emulated: ${message}\n`);
  }

  /** A line for those who asked for more. */
  tell(message: string): void {
    if (this.#verbose) this.say(`[${elapsed()} s] ${message}`);
  }

  /**
   * Tells what goes on until the next line or `endProgress`: on a terminal at
   * once, elsewhere every ten seconds.
   */
  progress(message: string): void {
    this.endProgress();
    this.tell(message);
    const since = performance.now();
    const seconds = () => Math.round((performance.now() - since) / 1000);
    if (this.#terminal) {
      const show = () => {
        this.#write(`emulated: ${message} … ${seconds()} s`);
        this.#transient = true;
      };
      show();
      this.#timer = setInterval(show, 1000);
    } else {
      const show = () => this.#write(`emulated: ${message} … ${seconds()} s\n`);
      this.#timer = setInterval(show, 10_000);
    }
  }

  endProgress(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#write("");
  }

  #write(text: string): void {
    if (this.#transient) text = `\r\x1b[K${text}`;
    this.#transient = false;
    if (text !== "") writeAll(Deno.stderr, new TextEncoder().encode(text));
  }
}
