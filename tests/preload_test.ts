import { assertEquals } from "@std/assert";
import { modulesOf } from "./support/modules.ts";

Deno.test("preload.ts names all modules but those of ./testing", () => {
  const folder = new URL("../ffi/", import.meta.url);
  const text = Deno.readTextFileSync(new URL("preload.ts", folder));
  const named = [...text.matchAll(/^import "\.\/(.+)";$/gm)]
    .map(([, name]) => name);
  const others = ["preload.ts", "testing.ts"];
  const files = modulesOf(folder).filter((name) =>
    !others.includes(name) && !name.startsWith("emulation/")
  );
  assertEquals(named, files);
});
