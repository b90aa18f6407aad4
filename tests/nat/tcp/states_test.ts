import { TCP_SCENARIOS } from "../../support/tcp_scenarios.ts";

for (const { name, run } of TCP_SCENARIOS) Deno.test(`TcpEndpoint: ${name}`, run);
