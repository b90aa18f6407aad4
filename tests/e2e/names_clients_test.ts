import { assert, assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, SSH_NEEDS } from "./internet.ts";
import { auditColumn, readAudit } from "./names_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, ...SSH_NEEDS, "curl", "node", "python3");

/** Programs that fetch from `$1` over the family `$2`: what they print if they succeed. */
const CLIENTS: Readonly<Record<string, string>> = {
  curl: `curl -sS -$2 --cacert "$CA" https://$1/`,
  node:
    `NODE_EXTRA_CA_CERTS="$CA" node -e 'require("https").get({ host: process.argv[1], family: Number(process.argv[2]) },
    (response) => response.pipe(process.stdout)).on("error", (error) => { console.log(error.code); process.exit(1); })' $1 $2`,
  python: `python3 -c 'import socket, ssl, sys, http.client
family, real = {"4": socket.AF_INET, "6": socket.AF_INET6}[sys.argv[2]], socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *rest: real(host, port, family, socket.SOCK_STREAM)
conn = http.client.HTTPSConnection(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[3]))
conn.request("GET", "/"); print(conn.getresponse().read().decode(), end="")' $1 $2 "$CA"`,
  openssl: `printf 'GET / HTTP/1.1\\r\\nhost: %s\\r\\nconnection: close\\r\\n\\r\\n' $1 |
    openssl s_client -$2 -quiet -verify_return_error -CAfile "$CA" -connect $1:443 -servername $1 | tail -n 1`,
};

/** Runs every client against a name and prints its exit code, how long it took in ms, and what it printed. */
const RUN_ALL = `for family in 4 6; do
  ${
  Object.entries(CLIENTS).map(([name, command]) =>
    `began=$(date +%s%N); set -o pipefail; out=$(set -- "$NAME" $family; { ${command}; } 2>>"$ERRORS"); code=$?
    echo "${name} $family $code $((($(date +%s%N) - began) / 1000000)) $out"`
  ).join("\n")
}
done`;

Deno.test({
  name:
    `hawser run --allow NAME opens the name to curl, node, python, openssl, ssh and git, and fails them at once elsewhere${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const ssh = await internet.ssh(), audit = `${internet.folder}/audit.jsonl`, errors = `${internet.folder}/errors`;
    const rules = ["registry.example:443", "git.example:22,443"].flatMap((rule) => ["--allow", rule]);
    const options = ["--audit", audit, ...rules];
    const client = (name: string, script: string) =>
      internet.run(options, script, { env: { NAME: name, ERRORS: errors } });

    await Deno.writeTextFile(errors, "");
    const allowed = await client("registry.example", RUN_ALL);
    for (const line of allowed.stdout.trim().split("\n")) {
      assertMatch(line, /^\w+ [46] 0 \d+ hello from registry\.example$/, await Deno.readTextFile(errors));
    }
    assertEquals(allowed.stdout.trim().split("\n").length, 8);
    assertEquals(allowed.stderr, "");
    const records = readAudit(await Deno.readTextFile(audit));
    assertEquals(auditColumn(records, "open", "host", "names", "rule"), [
      ...Array(4).fill("93.184.216.10:443 registry.example allow registry.example:443"),
      ...Array(4).fill("[2606:2800:220:1::10]:443 registry.example allow registry.example:443"),
    ]);
    assertEquals(auditColumn(records, "verified", "via", "name", "ech"), Array(8).fill("sni registry.example false"));
    assertEquals(auditColumn(records, "close", "verified"), Array(8).fill("true"));

    await internet.forget();
    const refused = await client("other.example", RUN_ALL);
    for (const line of refused.stdout.trim().split("\n")) {
      const [, , code, ms] = line.split(" ");
      assert(code !== "0" && !line.includes("hello"), line);
      // A resolver that says nothing costs 5 s at the least. Programs take a while to start.
      assert(Number(ms) < 4500, line);
    }
    assertMatch(refused.stdout, /^curl 4 6 /m);
    assertMatch(refused.stdout, /^node 6 1 \d+ ENOTFOUND$/m);
    assertEquals(await internet.visits(), []);

    const shells = await client(
      "git.example",
      `for family in 4 6; do ${ssh} -$family root@git.example 'echo $SSH_CONNECTION' | cut -d " " -f 3,4; done
      cd "$(mktemp -d)" && export GIT_SSH_COMMAND="${ssh}"
      git clone -q root@git.example:repository one && cat one/file
      GIT_SSL_CAINFO="$CA" git clone -q https://git.example/repository/.git two && cat two/file
      git clone -q http://git.example/repository/.git three 2>&1 | grep -o "Failed to connect"
      ${ssh} root@registry.example true 2>&1 | grep -o "Connection refused"
      ${ssh} root@other.example true 2>&1 | grep -o "Name or service not known"
      git clone -q https://other.example/x four 2>&1 | grep -o "Could not resolve host"; rm -rf "$PWD"`,
    );
    assertEquals(shells.stdout.trim().split("\n"), [
      "93.184.216.30 22",
      "2606:2800:220:1::30 22",
      "content",
      "content",
      "Failed to connect",
      "Connection refused",
      "Name or service not known",
      "Could not resolve host",
    ]);
    // Once for each of the addresses.
    assertMatch(
      shells.stderr,
      /^hawser: warn: Refused tcp 10\.0\.2\.15:\d+ > git\.example:80 \(93\.184\.216\.30\) of guest 1: /m,
    );
    assertMatch(shells.stderr, /--allow registry\.example:22 would$/m);
  },
});
