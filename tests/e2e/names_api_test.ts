import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, RESOLVER } from "./internet.ts";
import { auditColumn, type AuditLine, PROBE } from "./names_support.ts";
import { Program } from "./program.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "bash", "python3");

Deno.test({
  name: `rules.replace ends the flows that a new list does not allow, and lets those live that it allows${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const options = { dns: RESOLVER, allow: ["registry.example:7000", "cdn.example:7000"] };
    await using program = new Program(new URL("./names_gateway.ts", import.meta.url), {
      before: ["sh", "-c", internet.around, "sh"],
      permissions: ["--allow-read", "--allow-net", "--allow-ffi", "--allow-env", "--allow-run", "--allow-sys"],
      isConfigured: true,
      words: [JSON.stringify(options)],
    });
    const guest = async (line: string) => (await program.call<string>("guest", line)).trim();
    const python = async (line: string) => {
      const file = `${internet.folder}/ask.py`;
      await Deno.writeTextFile(file, `exec(open("${PROBE}").read())\n${line}\n`);
      return await guest(`python3 ${file} </dev/null`);
    };
    const connect = (number: number, address: string) =>
      guest(
        `exec ${number}<>/dev/tcp/${address}/7000 && echo hello >&${number} && read -t 20 line <&${number} && echo $line`,
      );
    const replace = (rules: Record<string, string[]>, more = {}) => program.call<string>("replace", rules, more);
    const again = (number: number) =>
      guest(`echo again 2>/dev/null >&${number}; line=; read -t 20 line <&${number}; echo $? $line`);

    assertEquals(
      await python(`print(dns("registry.example"), dns("cdn.example"), dns("other.example"))`),
      "NOERROR 93.184.216.10 NOERROR 93.184.216.20 NXDOMAIN EDE 15",
    );
    assertEquals([await connect(3, "93.184.216.10"), await connect(4, "93.184.216.20")], ["hello", "hello"]);

    const first = await replace({ allow: ["registry.example:7000"] });
    assertMatch(first, /^[0-9a-f]{64}$/);
    assertEquals(await again(3), "0 again");
    assertMatch(await again(4), /^1/);
    assertEquals(await python(`print(raw("93.184.216.20", 7000, b"x"))`), "refused");

    // What a guest knows of names outlives a list that does not want it.
    const second = await replace({ allow: ["cdn.example:7000", "registry.example:443"] }, { keepFlows: true });
    assertNotEquals(second, first);
    assertEquals(await again(3), "0 again");
    assertEquals(await connect(5, "93.184.216.20"), "hello");

    await replace({ allow: ["cdn.example:7000"], deny: ["93.184.216.20"] });
    assertMatch(await again(5), /^1/);
    const records = await program.call<never>("records") as AuditLine[];
    assertEquals(auditColumn(records, "close", "ending"), ["rulesChanged", "rulesChanged", "rulesChanged"]);
    assertEquals(records.filter(({ event }) => event === "rules").length, 3);
  },
});
