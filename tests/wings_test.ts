import { assert, assertEquals } from "@std/assert";
import { modulesOf } from "./support/modules.ts";

/** From the ground up: a file imports from its own wing, or from a lower floor. */
const floors: readonly (readonly string[])[] = [
  ["input"],
  ["c", "inspect"],
  ["process"],
  ["native"],
  ["emulation"],
  ["."],
];
/** Those beside the wings, from the ground up. */
const classes = [
  ["bad_block.ts", "memory.ts", "source.ts"],
  ["map.ts"],
  ["vm_reservation.ts"],
  ["testing.ts"],
  ["preload.ts"],
];

const folder = new URL("../ffi/", import.meta.url);

const wingOf = (module: string) =>
  module.includes("/") ? module.slice(0, module.indexOf("/")) : ".";
const floorOf = (module: string) =>
  floors.findIndex((wings) => wings.includes(wingOf(module)));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(module: string): Import[] {
  const text = Deno.readTextFileSync(new URL(module, folder));
  const found = text.matchAll(
    /^(?:import|export) (type )?(?:[^;"]*? from )?"(\.[^"]+)";$/gm,
  );
  return [...found].map(([, type, path]) => ({
    from: module,
    to: new URL(path!, new URL(module, folder)).href.slice(folder.href.length),
    typeOnly: type !== undefined,
  }));
}

Deno.test("each file of ffi/ is in a wing, or is named beside them", () => {
  for (const module of modulesOf(folder)) {
    assert(floorOf(module) !== -1, module);
    const named = classes.flat().includes(module);
    assert(wingOf(module) !== "." || named, module);
  }
});

Deno.test("a file of ffi/ imports from its own wing, or from a lower floor", () => {
  const wrong: Import[] = [];
  let seen = 0;
  for (const one of modulesOf(folder).flatMap(importsOf)) {
    seen++;
    const [above, below] = [wingOf(one.from), wingOf(one.to)];
    if (above === "." && below === ".") {
      const level = (module: string) =>
        classes.findIndex((row) => row.includes(module));
      // The contract's only circle, of types: a map names its reservation.
      const circle = one.typeOnly && one.from === "map.ts" &&
        one.to === "vm_reservation.ts";
      if (level(one.to) > level(one.from) && !circle) wrong.push(one);
    } else if (above !== below && floorOf(one.to) >= floorOf(one.from)) {
      wrong.push(one);
    }
  }
  assert(seen > 100);
  assertEquals(wrong, []);
});
