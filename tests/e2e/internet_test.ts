import { assertEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, OTHER_RESOLVER, SSH_NEEDS } from "./internet.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, ...SSH_NEEDS, "curl", "nc");

Deno.test({
  name: `the internet of the tests answers curl, git, ssh and nc over both families, and keeps a log of them${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const ssh = await internet.ssh();
    const { stdout, stderr } = await internet.run(
      [],
      `for family in 4 6; do
        curl -$family -sS http://registry.example/ https://tenant-a.example/ --cacert "$CA"
        ${ssh} -$family root@git.example 'echo $SSH_CONNECTION' | cut -d " " -f 3,4
      done
      cd "$(mktemp -d)"
      git clone -q http://git.example/repository/.git one && cat one/file
      GIT_SSH_COMMAND="${ssh}" git clone -q root@git.example:repository two && cat two/file
      rm -rf "$PWD"
      echo question | nc -u -w 1 93.184.216.20 443
      echo hello | nc -N 8.8.8.8 5432
      ip route get 8.8.8.8 | grep -o "via [^ ]*"`,
    );
    assertEquals(stderr, "");
    assertEquals(stdout.split("\n"), [
      ..."hello from registry.example,hello from tenant-a.example,93.184.216.30 22".split(","),
      ..."hello from registry.example,hello from tenant-a.example,2606:2800:220:1::30 22".split(","),
      ..."content,content,question,hello,via 10.0.2.2,".split(","),
    ]);
    const visits = await internet.visits(), met = visits.map(({ kind, address, text }) => `${kind} ${address} ${text}`);
    for (
      const visit of [
        "http 93.184.216.10 GET / HTTP/1.1 | registry.example",
        "tls 2606:2800:220:1::20 GET / HTTP/1.1 | tenant-a.example",
        "dns 93.184.216.53 AAAA tenant-a.example (udp)",
        "udp 93.184.216.20 question\n",
        "echo 8.8.8.8 hello\n",
      ]
    ) assertEquals(met.filter((one) => one === visit).length, 1, `${visit}: ${met.join("\n")}`);
  },
});

Deno.test({
  name: `the internet of the tests answers as its zone says, and nothing in it has a way out${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    await internet.zone({ "long.example": { CNAME: "end.example" }, "end.example": { A: ["93.184.216.99"] } });
    const { stdout } = await internet.run(
      [],
      "getent ahostsv4 long.example | head -n 1; getent hosts registry.example",
    );
    assertEquals(stdout.split(/\s+/).slice(0, 2), ["93.184.216.99", "STREAM"]);
    await internet.forget();
    assertEquals(await internet.visits(), []);
    const links = await internet.inWorld("ip -o link; cat /proc/sys/net/ipv4/ip_forward");
    assertEquals(links.split("\n").map((line) => line.split(/[ @]/)[1]), ["lo:", "world0", undefined]);
    assertStringIncludes(await internet.onHost(`ip route get ${OTHER_RESOLVER}`), "via 93.184.100.1 dev host0");
  },
});
