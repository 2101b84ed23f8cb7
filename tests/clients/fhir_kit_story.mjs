// What a user of fhir-kit-client (npm) does with a FHIR server: `node fhir_kit_story.mjs BASE_URL`.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import Client from "fhir-kit-client";

const SYSTEM = "http://example.org/fhir-kit";
const client = new Client({ baseUrl: process.argv[2] });
const number = randomUUID();

const capabilities = await client.capabilityStatement();
assert.equal(capabilities.fhirVersion, "4.0.1");

const patient = await client.create({
  resourceType: "Patient",
  body: { resourceType: "Patient", identifier: [{ system: SYSTEM, value: number }], name: [{ family: "Kit", given: ["Ana"] }] },
});
assert.equal(patient.meta.versionId, "1");
const changed = await client.update({ resourceType: "Patient", id: patient.id, body: { ...patient, gender: "other" } });
assert.equal(changed.meta.versionId, "2");
const patched = await client.patch({
  resourceType: "Patient",
  id: patient.id,
  JSONPatch: [{ op: "replace", path: "/gender", value: "female" }],
});
assert.equal(patched.gender, "female");
assert.equal((await client.vread({ resourceType: "Patient", id: patient.id, version: "1" })).gender, undefined);
assert.equal((await client.history({ resourceType: "Patient", id: patient.id })).entry.length, 3);
assert.ok((await client.history({ resourceType: "Patient" })).entry.length > 0);
assert.ok((await client.history()).entry.length > 0);

const transaction = await client.transaction({
  body: {
    resourceType: "Bundle",
    type: "transaction",
    entry: [1, 2, 3, 4, 5].map((day) => ({
      fullUrl: `urn:uuid:${randomUUID()}`,
      resource: {
        resourceType: "Condition",
        subject: { reference: `Patient?identifier=${SYSTEM}|${number}` },
        code: { text: `finding ${day}` },
        recordedDate: `2024-01-0${day}`,
      },
      request: { method: "POST", url: "Condition" },
    })),
  },
});
assert.ok(transaction.entry.every((e) => e.response.status.startsWith("201")));

let page = await client.search({
  resourceType: "Condition",
  searchParams: { patient: patient.id, _count: 2, _sort: "recorded-date", _total: "accurate" },
});
assert.equal(page.total, 5);
const days = [];
while (page) {
  days.push(...page.entry.map((e) => e.resource.recordedDate));
  page = await client.nextPage({ bundle: page });
}
assert.deepEqual(days, [1, 2, 3, 4, 5].map((day) => `2024-01-0${day}`));
const posted = await client.search({
  resourceType: "Patient",
  searchParams: { identifier: `${SYSTEM}|${number}` },
  options: { postSearch: true },
});
assert.equal(posted.entry[0].resource.id, patient.id);
const compartment = await client.search({ compartment: { resourceType: "Patient", id: patient.id }, resourceType: "Condition" });
assert.equal(compartment.entry.length, 5);
assert.ok((await client.search({ searchParams: { _type: "Patient,Condition", _count: 3 } })).entry.length > 0);
const everything = await client.operation({ name: "everything", resourceType: "Patient", id: patient.id, method: "GET" });
assert.equal(everything.entry.length, 6);
const resolved = await client.resolve({ reference: `Patient/${patient.id}` });
assert.equal(resolved.id, patient.id);

const batch = await client.batch({
  body: {
    resourceType: "Bundle",
    type: "batch",
    entry: [
      { request: { method: "GET", url: `Patient/${patient.id}` } },
      { request: { method: "GET", url: "Patient/there-is-none" } },
    ],
  },
});
assert.deepEqual(batch.entry.map((e) => e.response.status.slice(0, 3)), ["200", "404"]);
for (const entry of compartment.entry) await client.delete({ resourceType: "Condition", id: entry.resource.id });
await client.delete({ resourceType: "Patient", id: patient.id });
await assert.rejects(client.read({ resourceType: "Patient", id: patient.id }), (error) => error.response.status === 410);
await assert.rejects(client.create({ resourceType: "Patient", body: { resourceType: "Patient", gender: "x" } }), (error) => {
  assert.equal(error.response.data.resourceType, "OperationOutcome");
  return true;
});
