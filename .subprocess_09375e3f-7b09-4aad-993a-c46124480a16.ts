
import { Pmem2Error, Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as process from "./tests/support/native_process.ts";
import { assertRefused } from "./tests/support/refusal.ts";
import { Scratch } from "./tests/support/scratch.ts";

const started = [];
function start(text) {
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(file, text);
  const worker = new Worker(new URL("file://" + file), { type: "module" });
  started.push(worker);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
  }).finally(() => Deno.removeSync(file));
}

      using scratch = new Scratch();
      for (let i = 0; i < 3; i++) {
        await start(`
          import { Pmem2Map } from "@pmem2/pmem2";
          const map = Pmem2Map.open("${scratch.path("file")}", { create: true, size: 2 ** 25 });
          map.fill(${i}, 0, map.size, { flush: false });
          for (let i = 0; i < 8; i++) {
            map.persistAsync().catch(() => {});
            map.deepFlushAsync(i * 4096).catch(() => {});
          }
          postMessage("pending");
          
        `);
        const worker = started.pop();
        worker.terminate();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      using map = Pmem2Map.open(scratch.path("file"));
      map.fill(7);
      assertEquals(Deno.readFileSync(scratch.path("file"))[2 ** 25 - 1], 7);
    
console.log("end of 92cfa02e-697a-4d2c-9fd7-b74fd8458b95");
