
      import {
        Pmem2Error,
        Pmem2Map,
        Pmem2Source,
        Pmem2VmReservation,
      } from "@pmem2/pmem2";
      import { assert, assertEquals, assertInstanceOf } from "@std/assert";

      const path = Deno.makeTempFileSync();
      using source = Pmem2Source.open(path, { size: 8192 });
      Deno.removeSync(path);
      using reservation = new Pmem2VmReservation(2 ** 30);
      // Neighbours that the kernel can't join.
      const refused = (map) => {
        for (let i = 0;; i++) {
          try {
            maps.push(map(i));
          } catch (error) {
            return error;
          }
        }
      };
      const maps = [];
      for (
        const map of [
          (i) => reservation.map(source, { at: i * 8192, length: 4096 }),
          () => Pmem2Map.from(source, { length: 4096 }),
        ]
      ) {
        const error = refused(map);
        assertInstanceOf(error, Pmem2Error);
        assertEquals([error.code, error.call], ["ENOMEM", "pmem2_map_new"]);
      }
      const heap = Array.from({ length: 64 }, () => new Uint8Array(2 ** 20));
      assertEquals(heap.length, 64);
      assert(maps.length > 1000);
      assertEquals([...reservation].length, maps.filter((map) => map.offset > 0).length + 1);
      for (const map of maps) map.close();
      Pmem2Map.from(source).close();
      console.log("alive");
    