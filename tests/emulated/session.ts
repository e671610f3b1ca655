import { say, UnavailableError } from "./host.ts";
import { equip, type Equipment, Machine } from "./machine.ts";

const CACHE = new URL("../../.emulated-pmem", import.meta.url).pathname;

/**
 * Gives `body` the equipment and a folder for media and logs, and ends the
 * process: with 0 if `body` says that all is well, 1 if not, 2 if the machine
 * can't be had here. The logs are kept if anything went wrong.
 */
export async function runSession(
  body: (equipment: Equipment, directory: string) => Promise<boolean>,
): Promise<never> {
  await Deno.mkdir(CACHE, { recursive: true });
  const directory = await Deno.makeTempDir({ dir: CACHE, prefix: "run-" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      Machine.cutAllPower();
      Deno.removeSync(directory, { recursive: true });
      Deno.exit(130);
    });
  }
  let status: number;
  try {
    if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
      throw new UnavailableError("The emulated machine needs Linux on x86-64");
    }
    const equipment = await equip(CACHE, directory);
    status = await body(equipment, directory) ? 0 : 1;
  } catch (error) {
    const unavailable = error instanceof UnavailableError;
    say(`error: ${unavailable ? error.message : Deno.inspect(error)}`);
    status = unavailable ? 2 : 1;
  } finally {
    Machine.cutAllPower();
  }
  await tidy(directory, status === 0);
  Deno.exit(status);
}

/** Removes what is large, or everything. */
async function tidy(directory: string, everything: boolean): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (everything || !name.endsWith(".log")) {
      await Deno.remove(`${directory}/${name}`, { recursive: true });
    }
  }
  if ([...Deno.readDirSync(directory)].length === 0) {
    await Deno.remove(directory);
  } else {
    say(`Logs: ${directory}`);
  }
}
