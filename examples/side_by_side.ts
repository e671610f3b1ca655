// Maps files side by side, for the examples that look at several.

import { type Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";

/**
 * Makes a reservation with the sources side by side, mapped read-only. If free pages are
 * asked for, they come after the first source.
 */
export function mapSideBySide(
  sources: Pmem2Source[],
  freePages = 0,
): Pmem2VmReservation {
  const places: number[] = [];
  let end = 0;
  for (const { size, alignment } of sources) {
    // A map takes whole pages, even if it ends inside the last one.
    const at = Math.ceil(end / alignment) * alignment;
    places.push(at);
    end = at + Math.ceil(size / alignment) * alignment;
    if (places.length === 1) end += freePages * alignment;
  }
  using resources = new DisposableStack();
  const reservation = resources.use(new Pmem2VmReservation(end));
  for (const [index, source] of sources.entries()) {
    reservation.map(source, { at: places[index], write: false });
  }
  resources.move();
  return reservation;
}

/** Refuses to write to a file that is mapped: truncating it would remove its pages. */
export function checkOutput(output: string, files: string[]): void {
  const identify = (path: string) => {
    const { dev, ino } = Deno.statSync(path);
    return `${dev} ${ino}`;
  };
  let existing: string;
  try {
    existing = identify(output);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (files.some((file) => identify(file) === existing)) {
    throw new Error(`Cannot write to ${output} as it is to be mapped`);
  }
}
