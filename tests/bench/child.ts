/**
 * Another program, which runs the commands that it reads, one a line, and
 * answers each with nanoseconds.
 *
 * @module
 */

export class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;

  constructor(command: string, ...args: string[]) {
    this.#process = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#output = this.#process.stdout.getReader();
  }

  /** Runs a command; nanoseconds for all that it did. */
  async run(command: string, ...words: (string | number)[]): Promise<number> {
    const line = `${[command, ...words].join(" ")}\n`;
    await this.#input.write(new TextEncoder().encode(line));
    const decoder = new TextDecoder();
    let answer = "";
    while (!answer.endsWith("\n")) {
      const { done, value } = await this.#output.read();
      if (done) throw new Error(`The peer ended at "${line.trim()}"`);
      answer += decoder.decode(value, { stream: true });
    }
    return Number(answer);
  }

  /** Measures a command that does something `times` times. */
  measure(
    command: string,
    times: number,
    ...words: (string | number)[]
  ): () => Promise<number> {
    return async () => await this.run(command, times, ...words) / times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close();
    await this.#process.status;
    await this.#output.cancel();
  }
}
