import { assertEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, RESOLVER } from "./internet.ts";
import { PROBE } from "./names_support.ts";
import { shell } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "python3");

/** A guest's kernel: a process in a network namespace of its own. */
class Kernel implements AsyncDisposable {
  readonly #child = new Deno.Command("unshare", { args: ["--net", "sleep", "600"], stdin: "null" }).spawn();

  static async start(): Promise<Kernel> {
    const kernel = new Kernel();
    await shell(
      'while [ "$(readlink "/proc/$1/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done',
      kernel.pid,
    );
    return kernel;
  }

  get pid(): string {
    return `${this.#child.pid}`;
  }

  /** Sets the TAP up as a user would. */
  async configure(): Promise<void> {
    await this.run(`ip addr add 10.0.2.15/24 dev tap0 && ip link set tap0 up && ip route add default via 10.0.2.2`);
  }

  run(script: string): Promise<string> {
    return shell(`exec nsenter --net=/proc/$1/ns/net -- sh -c "$2"`, this.pid, script);
  }

  probe(lines: string): Promise<string> {
    const code = `exec(open("${PROBE}").read())\n${lines.replace(/^ +/gm, "")}`;
    return shell(`exec nsenter --net=/proc/$1/ns/net -- python3 -c "$2"`, this.pid, code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

Deno.test({
  name: `hawser serve keeps the names of each guest apart: what one has asked opens nothing to another${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start(), one = await Kernel.start(), two = await Kernel.start();
    const links = [one, two].flatMap(({ pid }) => ["--listen", `tap:tap0@pid:${pid}`]);
    await using serve = await Serve.start([
      ...["-D", RESOLVER, "--allow", "registry.example:80", "--log-level", "warn"],
      ...links,
    ], { around: internet.around });
    await Promise.all([one.configure(), two.configure()]);
    const fetch = `print(http("93.184.216.10", 80, "Host: registry.example"))`;
    assertEquals(await two.probe(fetch), "refused");
    assertEquals(
      await one.probe(`print(dns("registry.example"))\n${fetch}`),
      "NOERROR 93.184.216.10\nopen hello from registry.example",
    );
    assertEquals(await two.probe(fetch), "refused");
    assertEquals(
      await two.probe(`print(dns("registry.example"))\n${fetch}`),
      "NOERROR 93.184.216.10\nopen hello from registry.example",
    );
    // The second time the answer came out of the cache, and bound all the same.
    assertEquals((await internet.visits()).filter(({ kind }) => kind === "dns").length, 1);
    assertStringIncludes(serve.stderr, "of guest 2: ");
  },
});
