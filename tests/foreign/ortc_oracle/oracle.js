// Reads lines {"call": name, "args": […]} and answers each with {"result", "args"} or {"error"}: the name of the
// exception. "args" are the arguments afterwards, because mediasoup normalises them in place.
'use strict';

const readline = require('node:readline');
const mediasoup = require('mediasoup');
const h264 = require('h264-profile-level-id');

const functions = {
	...mediasoup.ortc,
	getSupportedRtpCapabilities: mediasoup.getSupportedRtpCapabilities,
	parseScalabilityMode: mediasoup.parseScalabilityMode,
	canonicalProfileLevelId: text => {
		const parsed = h264.parseProfileLevelId(text);

		return parsed === undefined ? null : h264.profileLevelIdToString(parsed);
	},
	answerProfileLevelId: h264.generateProfileLevelIdStringForAnswer,
};

// Known to mediasoup only after a first call: what pipe consumers get of the dependency descriptor.
mediasoup.ortc.generateRouterRtpCapabilities([]);

readline.createInterface({ input: process.stdin }).on('line', line => {
	const { call, args } = JSON.parse(line);
	let answer;

	try {
		answer = { result: functions[call](...args) ?? null, args };
	} catch (error) {
		answer = { error: error.name };
	}

	process.stdout.write(`${JSON.stringify(answer)}\n`);
});
