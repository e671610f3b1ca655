// Shared by the example programs: how they end if something is wrong.

/** The arguments are not what the program expects. */
export class UsageError extends Error {}

/**
 * Runs a program. If it throws, prints the reason on stderr, and the usage for wrong
 * arguments, and exits with status 1. Only a bug shows a stack trace.
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

/** Escapes the name of a file, which may contain what a terminal acts on. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

/** Returns how to print a value on stdout, which may be a terminal or a file. */
export function inspectOptions(): Deno.InspectOptions {
  const terminal = Deno.stdout.isTerminal();
  return {
    iterableLimit: Infinity,
    breakLength: terminal ? Deno.consoleSize().columns : 80,
    colors: terminal && !Deno.noColor,
  };
}
