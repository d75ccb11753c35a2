// SPDX-License-Identifier: Apache-2.0
// Holds what a program answered against its OpenAPI document.
//
// usage: contract.mjs DOCUMENT.yaml RECORD [--unseen OPERATION:STATUS,...] [--untried OPERATION,...]
//
// RECORD has a JSON document a line: {method, path, sent, status, headers, body}, as tests/cli/luod_case.py writes them. Checked are
// the document itself, that the program serves it, each answer's status, type, headers and body, that what was accepted is
// what the document lets a client send, and that every operation and every good answer was seen at all.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { parse } from "yaml";

// What any request may be answered with, whatever the operation: the general part of the document says so.
const GENERAL = new Set([400, 403, 404, 405, 413, 429, 503]);

const [documentPath, recordPath, ...options] = process.argv.slice(2);
const option = name => (options[options.indexOf(name) + 1] ?? "").split(",").filter(text => text && options.includes(name));
const source = parse(readFileSync(documentPath, "utf8"), { merge: true });
const faults = [];

const validator = new Validator();
const valid = await validator.validate(structuredClone(source));
if (!valid.valid)
	faults.push(`the document is not valid: ${JSON.stringify(valid.errors).slice(0, 2000)}`);
const api = structuredClone(source);

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: "api:", components: api.components });
// A schema of the document, with its references leading to the components.
const compiled = new Map();
function check(schema, value) {
	const text = JSON.stringify(schema).replaceAll('"#/components', '"api:#/components');
	if (!compiled.has(text))
		compiled.set(text, ajv.compile(JSON.parse(text)));
	const validate = compiled.get(text);
	return validate(value) ? "" : ajv.errorsText(validate.errors);
}

function resolve(node) {
	return node?.$ref ? node.$ref.slice(2).split("/").reduce((at, key) => at[key.replaceAll("~1", "/")], api) : node;
}

const baseOf = servers => new URL(servers?.[0]?.url ?? "http://h").pathname.replace(/\/$/, "");
const operations = [];
for (const [path, item] of Object.entries(api.paths)) {
	const base = baseOf(item.servers ?? api.servers);

	for (const method of ["get", "put", "post", "delete"]) {
		if (item[method])
			operations.push({ ...item[method], method: method.toUpperCase(), path,
				form: new RegExp("^" + (base + path).replaceAll(/[.]/g, "\\.").replaceAll(/\{\w+\}/g, "[^/]+") + "$") });
	}
}

function find(method, path) {
	const wanted = method === "HEAD" ? "GET" : method;
	// A path without a variable goes before one with.
	return operations.filter(o => o.method === wanted && o.form.test(path)).sort((a, b) => a.path.includes("{") - b.path.includes("{"))[0];
}

function parseJson(text) {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

const seen = new Set();

function checkProblem(entry, type, body) {
	if (type !== "application/problem+json")
		return `a problem has the type ${type}`;
	if (entry.method === "HEAD")
		return entry.body ? "an answer to HEAD has a body" : "";
	if (body?.status !== entry.status)
		return `the problem says ${body?.status}`;
	if ((entry.status === 429 || entry.status === 503) && !entry.headers["retry-after"] && api.info.description.includes("Retry-After"))
		return "there is no Retry-After";
	if (entry.status === 405 && !entry.headers.allow)
		return "there is no Allow";
	return check(api.components.schemas.Problem, body);
}

function checkEntry(entry) {
	const path = entry.path.split("?")[0];
	const operation = find(entry.method, path);
	const type = (entry.headers["content-type"] ?? "").split(";")[0];
	const body = type.endsWith("json") ? parseJson(entry.body) : undefined;

	if (entry.status >= 400) {
		const fault = checkProblem(entry, type, body);
		if (fault)
			return fault;
	}
	if (!operation)
		return entry.status === 404 || entry.status === 405 ? "" : "there is no such operation, and it was answered";
	const response = resolve(operation.responses[entry.status]);
	if (!response)
		return GENERAL.has(entry.status) ? "" : "this status is not in the document";
	seen.add(`${operation.operationId}:${entry.status}`);
	for (const header of Object.keys(response.headers ?? {})) {
		if (!entry.headers[header.toLowerCase()])
			return `there is no ${header}`;
	}
	if (entry.status < 300) {
		const asked = operation.requestBody?.content["application/json"].schema;
		const fault = asked && entry.sent ? check(asked, parseJson(entry.sent)) : "";
		if (fault)
			return `accepted what the document does not allow: ${fault}`;
		if (entry.sent && !asked)
			return "accepted a body where there is none";
	}
	if (entry.method === "HEAD")
		return entry.body ? "an answer to HEAD has a body" : "";
	if (!response.content)
		return entry.body ? "an answer without content has some" : "";
	if (!response.content[type])
		return `the type ${type} is not in the document`;
	return type.endsWith("json") ? check(response.content[type].schema, body) : "";
}

const entries = readFileSync(recordPath, "utf8").split("\n").filter(Boolean).map(line => JSON.parse(line));
for (const entry of entries) {
	const fault = checkEntry(entry);
	if (fault)
		faults.push(`${entry.method} ${entry.path} -> ${entry.status}: ${fault}; ${entry.body.slice(0, 400)}`);
}

const served = entries.filter(e => e.method === "GET" && e.path.split("?")[0] === "/openapi.json" && e.status === 200);
if (!served.length || !served.every(e => isDeepStrictEqual(parseJson(e.body), source)))
	faults.push("/openapi.json is not the document");

const unseen = new Set(option("--unseen")), untried = new Set(option("--untried"));
for (const operation of operations) {
	for (const status of Object.keys(operation.responses)) {
		const name = `${operation.operationId}:${status}`;
		if (status < 300 && !seen.has(name) && !untried.has(operation.operationId) && !unseen.has(name))
			faults.push(`${name} was never seen`);
		if (unseen.has(name) && seen.has(name))
			faults.push(`${name} was seen; take it out of the exceptions`);
	}
}

for (const fault of faults.slice(0, 40))
	console.log(`fault: ${fault}`);
console.log(`${entries.length} answers, ${operations.length} operations, ${seen.size} kinds of answer, ${faults.length} faults`);
process.exit(faults.length || entries.length === 0 ? 1 : 0);
