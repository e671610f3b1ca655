/**
 * Tests of the tool that boot machines: `deno task test:emulated` runs them.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";

const TOOL = new URL("../../emulated/mod.ts", import.meta.url).pathname;
const MODULE = new URL("../../", import.meta.url).pathname;

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A project of its own, outside of this one. */
class Project implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "pmem2 emulated " });

  constructor(files: Record<string, string> = {}) {
    const config = { imports: { "@pmem2/pmem2": `${MODULE}/mod.ts` } };
    this.write({ "deno.json": JSON.stringify(config), ...files });
  }

  write(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(`${this.path}/${name}`, text);
    }
  }

  spawn(...args: string[]): Deno.ChildProcess {
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-config",
        TOOL,
        "--root",
        MODULE,
        ...args,
      ],
      cwd: this.path,
      env: { NO_COLOR: "1", LEFT_OUT: "left out" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async run(...args: string[]): Promise<Outcome> {
    const { code, stdout, stderr } = await this.spawn(...args).output();
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** The lines that are the tool's own left out. */
function others(stderr: string): string {
  return stderr.replaceAll(/^emulated: .*\n/gm, "");
}

Deno.test("emulated runs a command with its arguments, streams, environment and files", async () => {
  using project = new Project({ "it's here": "some text\n" });
  Deno.writeFileSync(
    `${project.path}/large`,
    new Uint8Array(3_000_000).fill(7),
  );
  const script = `
    cat "it's here"; printf '<%s>' "$@"; printf '<%s>' "$A" "$B" "\${LEFT_OUT-none}" "$NO_COLOR"
    pwd; echo to stderr >&2; echo to /dev/stderr >/dev/stderr
    cat large large large; mkdir -p made/deeper; echo made >made/deeper/file
    ln -s deeper/file made/link; exit 7`;
  const { code, stdout, stderr } = await project.run(
    ...[
      "--env",
      'A=it\'s \n"$B"',
      "--env=B",
      "--out=made",
      "--out",
      "./absent",
    ],
    ...["--", "sh", "-c", script, "sh", "one", "two three", "", "four'"],
  );
  assertEquals(others(stderr), "to stderr\nto /dev/stderr\n");
  assertMatch(stderr, /^emulated: Linux .* in QEMU /);
  assertMatch(stderr, /^emulated: Nothing to bring back: .*\/absent$/m);
  assertMatch(stderr, /^emulated: exit status 7 after /m);
  assertEquals(code, 7);
  const expected =
    "some text\n<one><two three><><four'><it's \n\"$B\"><><none><1>" +
    `${project.path}\n`;
  assertEquals(stdout.slice(0, expected.length), expected);
  assertEquals(stdout.length, expected.length + 9_000_000);
  assertEquals(Deno.readTextFileSync(`${project.path}/made/link`), "made\n");
});

Deno.test("emulated gives deno test real DAX, its exit status and its reports", async () => {
  using project = new Project({
    "pass_test.ts": `
      import { Pmem2Map } from "@pmem2/pmem2";
      Deno.test("maps", () => {
        using map = Pmem2Map.open(Deno.env.get("PMEM_DIR") + "/file", { create: true, size: 4096 });
        if (map.granularity !== Deno.env.get("PMEM_GRANULARITY")) throw new Error(map.granularity);
        if (map.granularity !== "byte") throw new Error(map.granularity);
        const smaps = Deno.readTextFileSync("/proc/self/smaps");
        const at = smaps.indexOf(map.address.toString(16) + "-");
        if (!/VmFlags:.* sf /.test(smaps.slice(at).split("\\n").find((line) => line.startsWith("VmFlags"))! + " ")) throw new Error("no MAP_SYNC");
        using device = Pmem2Map.open(Deno.env.get("PMEM_DEVDAX")!);
        if (device.granularity !== "byte") throw new Error(device.granularity);
      });`,
    "fail_test.ts":
      `Deno.test("fails", () => { throw new Error("as it should"); });`,
  });
  const { code, stdout, stderr } = await project.run(
    ...["--eadr", "--out=coverage", "--out=junit.xml", "--"],
    ...["deno", "test", "-A", "--coverage=coverage", "--junit-path=junit.xml"],
  );
  assertMatch(stdout, /^FAILED \| 1 passed \| 1 failed/m, stdout + stderr);
  assertEquals(code, 1);
  assertMatch(
    Deno.readTextFileSync(`${project.path}/junit.xml`),
    /failures="1"/,
  );
  const report = new TextDecoder().decode(
    (await new Deno.Command(Deno.execPath(), {
      args: ["coverage", "coverage", "--lcov"],
      cwd: project.path,
    }).output()).stdout,
  );
  assert([...Deno.readDirSync(`${project.path}/coverage`)].length > 0);
  assert(!report.includes("error"));
});

Deno.test("emulated refuses on the host what has wrong types", async () => {
  using project = new Project({
    "a_test.ts": `Deno.test("a", () => { const n: number = "text"; n; });`,
  });
  const { code, stderr } = await project.run("--", "deno", "test");
  assertEquals(code, 1);
  assertMatch(stderr, /TS2322/);
});

Deno.test("emulated tells a crash by its signal", async () => {
  using project = new Project({
    "crash.ts": `
      console.log("before");
      const nowhere = Deno.UnsafePointer.create(8n)!;
      new Deno.UnsafePointerView(nowhere).getUint8();`,
  });
  const outcome = await project.run("--", "deno", "run", "-A", "crash.ts");
  assertEquals(outcome.stdout, "before\n");
  assertEquals(outcome.code, 139);
});

Deno.test("emulated has a disk that fails", async () => {
  using project = new Project({
    "fail.ts": `
      import { Pmem2Map } from "@pmem2/pmem2";
      const folder = Deno.env.get("PMEM_FAILING_DIR")!;
      Deno.mkdirSync(folder + "/made");
      using file = Deno.openSync(folder + "/made/file", { createNew: true, write: true });
      file.syncSync();
      file.writeSync(new Uint8Array(65_536));
      try { file.syncSync(); console.log("written"); }
      catch (error) { console.log(error.message); }
      using map = Pmem2Map.open(folder + "/made/mapped", { create: true, size: 65_536 });
      map.bytes[5000] = 1;
      try { map.persist(5000, 1); console.log("persisted"); }
      catch (error) { console.log(error.code); }`,
  });
  const outcome = await project.run(
    ...["--failing-disk", "--", "deno", "run", "-A", "fail.ts"],
  );
  assertMatch(outcome.stdout, /os error 5.*\nEIO\n/, outcome.stderr);
});

Deno.test("emulated stops what takes too long, and tells of a machine that breaks off", async () => {
  using project = new Project();
  const [late, broken] = await Promise.all([
    project.run("--timeout=1", "--", "sleep", "100"),
    project.run("--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 100"),
  ]);
  assertEquals(late.code, 124);
  assertMatch(late.stderr, /not done within 1 seconds/);
  assertEquals(broken.code, 125);
  const log = /What the kernel said: (.*)/.exec(broken.stderr)?.[1];
  assertMatch(Deno.readTextFileSync(log!), /Kernel panic/);
});

Deno.test("emulated leaves neither QEMU nor its files behind when it's ended", async () => {
  using project = new Project();
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const child = project.spawn("--", "sh", "-c", "echo running; sleep 100");
    const reader = child.stdout.getReader();
    await reader.read();
    const qemu = descendant(child.pid);
    child.kill(signal);
    await child.status;
    await reader.cancel();
    await child.stderr.cancel();
    for (let i = 0; i < 100 && runs(qemu); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert(!runs(qemu), `QEMU runs after ${signal}`);
  }
  // The next one removes what a killed one couldn't.
  const cache = `${
    Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`
  }/pmem2-emulated/runs`;
  await project.run("--", "true");
  for (const { name } of Deno.readDirSync(cache)) {
    using file = Deno.openSync(`${cache}/${name}/lock`, { write: true });
    assert(!file.tryLockSync(true), `${name} was left`);
  }
});

/** The process that is QEMU, below this one. */
function descendant(parent: number): number {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const [, , ppid] = stat.slice(stat.lastIndexOf(")")).split(" ");
      if (Number(ppid) === parent && stat.includes("(qemu-system")) {
        return Number(name);
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  throw new Error("QEMU doesn't run");
}

function runs(pid: number): boolean {
  try {
    return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
