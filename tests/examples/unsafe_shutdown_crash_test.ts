import { testCrashes } from "@pmem2/pmem2/testing";
import { assert, assertEquals } from "@std/assert";
import { GuardedFile } from "../../examples/unsafe_shutdown.ts";
import { granularities } from "../support/store_checks.ts";

/** Long enough to be torn at each granularity. */
const texts = ["a", "b", "c"].map((letter) => letter.repeat(1500));

for (const granularity of granularities) {
  Deno.test(`GuardedFile never takes a text that was cut off for whole, whenever the power goes, at ${granularity} granularity`, async () => {
    await testCrashes<string>({
      granularity,
      setup: (pmem) =>
        Deno.writeFileSync(pmem.path("file"), new Uint8Array(4096)),
      write(pmem, acknowledge) {
        for (const text of texts) {
          {
            using file = new GuardedFile(pmem.path("file"), { write: true });
            assert(["new", "clean"].includes(file.shutdown));
            file.text = text;
            acknowledge(`written ${text}`);
          }
          acknowledge(`closed ${text}`);
        }
        // In use, and cut off, and opened again.
        new GuardedFile(pmem.path("file"), { write: true });
        pmem.crash();
        acknowledge(`cut ${texts.at(-1)}`);
        using file = new GuardedFile(pmem.path("file"), { write: true });
        assertEquals(file.shutdown, "unknown");
        acknowledge(`closing ${texts.at(-1)}`);
      },
      check(pmem, acknowledged) {
        const [event = "", text = ""] = acknowledged.at(-1)?.split(" ") ?? [];
        {
          using file = new GuardedFile(pmem.path("file"), { write: false });
          const { shutdown, text: found } = file;
          const next = texts[texts.indexOf(text) + 1];
          if (shutdown === "new") {
            assertEquals([event, found], ["", ""]);
          } else if (shutdown === "clean") {
            // Nobody had begun to write the next one, or it's there.
            assert(found === text || found === next, "the text is torn");
            if (event === "written") assertEquals(found, text);
            assert(event !== "cut", "it was in use");
          } else {
            assertEquals(shutdown, "unknown");
            if (event === "written") assertEquals(found, text);
          }
        }
        // It can go on, and still knows.
        {
          using file = new GuardedFile(pmem.path("file"), { write: true });
          file.text = "more";
        }
        pmem.crash();
        using file = new GuardedFile(pmem.path("file"), { write: false });
        assertEquals([file.shutdown, file.text], ["clean", "more"]);
      },
    });
  });
}
