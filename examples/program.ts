// What the example programs share: how they end when something is wrong.

/** The arguments are not what the program expects. */
export class UsageError extends Error {}

/**
 * Runs a program. When it throws, says why on stderr, for wrong arguments also
 * how to call it, and ends with status 1. Only a bug shows a stack trace.
 */
export async function runProgram(
  usage: string,
  main: (args: string[]) => void | Promise<void>,
): Promise<void> {
  try {
    await main(Deno.args);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const wrongArguments = error instanceof UsageError ||
      "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
    if (error instanceof TypeError && !wrongArguments) throw error;
    if (error.message !== "") console.error(`Error: ${error.message}`);
    if (wrongArguments) console.error(`Usage: ${usage}`);
    Deno.exitCode = 1;
  }
}

/** A file's name may hold what a terminal would act upon. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

/** How to show a value to whoever is on stdout: a person, or a file. */
export function inspectOptions(): Deno.InspectOptions {
  const terminal = Deno.stdout.isTerminal();
  return {
    iterableLimit: Infinity,
    breakLength: terminal ? Deno.consoleSize().columns : 80,
    colors: terminal && !Deno.noColor,
  };
}
