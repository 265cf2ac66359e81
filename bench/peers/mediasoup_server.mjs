// @ts-check
// A mediasoup router with one worker, commanded by bench/peers/mediasoup.py over JSON lines.
//
// It says first {"version", "pid"}, where pid is the worker's: that process forwards, this one only passes commands on.
// Then one request a line, {"method", "data"}, is answered by one line, {"reply"} or {"error"}. It ends with its
// standard input. The mediasoup package is the one that MEDIASOUP_DIR, or else the working directory, has installed.

import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';

/** @typedef {import('mediasoup').types.RtpCapabilities} RtpCapabilities */
/** @typedef {import('mediasoup').types.RtpParameters} RtpParameters */
/** @typedef {import('mediasoup').types.MediaKind} MediaKind */
/** @typedef {import('mediasoup').types.DtlsParameters} DtlsParameters */
/** @typedef {import('mediasoup').types.RouterRtpCodecCapability} RouterRtpCodecCapability */

const SOCKET_BUFFER = 4 * 1024 * 1024; // bytes, as our own node asks for
const BITRATE = 1_000_000_000; // bit/s: nothing is to hold a layer back

/** @param {unknown} message */
function say(message) {
	process.stdout.write(`${JSON.stringify(message)}\n`);
}

// Whatever can't be started is the bench's to explain; nothing has been promised yet.
process.on('uncaughtException', (error) => {
	say({ error: error.message });
	process.exit(1);
});

/** @type {typeof import('mediasoup')} */
const mediasoup = createRequire(path.join(process.env.MEDIASOUP_DIR ?? process.cwd(), 'package.json'))('mediasoup');
const address = process.argv[2];
const worker = await mediasoup.createWorker({ logLevel: 'none' });
worker.on('died', () => process.exit(1));
// One UDP port for every transport, which is what mediasoup recommends.
const webRtcServer = await worker.createWebRtcServer({
	listenInfos: [{ protocol: 'udp', ip: address, sendBufferSize: SOCKET_BUFFER, recvBufferSize: SOCKET_BUFFER }],
});

/** @type {Map<string, import('mediasoup').types.Router>} */
const routers = new Map();
/** @type {Map<string, import('mediasoup').types.WebRtcTransport>} */
const transports = new Map();
/** @type {Map<string, import('mediasoup').types.Consumer>} */
const consumers = new Map();

/**
 * @template T
 * @param {Map<string, T>} known
 * @param {string} id
 * @returns {T}
 */
function find(known, id) {
	const found = known.get(id);
	if (found === undefined) {
		throw new Error(`nothing has the id ${id}`);
	}
	return found;
}

const methods = {
	/** @param {{ mediaCodecs: RouterRtpCodecCapability[] }} data */
	async createRouter({ mediaCodecs }) {
		const router = await worker.createRouter({ mediaCodecs });
		routers.set(router.id, router);
		return { id: router.id };
	},

	/** @param {{ routerId: string, dtlsParameters: DtlsParameters }} data */
	async createTransport({ routerId, dtlsParameters }) {
		const transport = await find(routers, routerId).createWebRtcTransport({
			webRtcServer,
			enableTcp: false,
			initialAvailableOutgoingBitrate: BITRATE,
		});
		transports.set(transport.id, transport);
		await transport.connect({ dtlsParameters });
		const { id, iceParameters, iceCandidates } = transport;
		return { id, iceParameters, iceCandidates, dtlsParameters: transport.dtlsParameters };
	},

	/** @param {{ transportId: string, kind: MediaKind, rtpParameters: RtpParameters }} data */
	async produce({ transportId, kind, rtpParameters }) {
		const producer = await find(transports, transportId).produce({ kind, rtpParameters });
		return { id: producer.id };
	},

	/** @param {{ transportId: string, producerId: string, rtpCapabilities: RtpCapabilities }} data */
	async consume({ transportId, producerId, rtpCapabilities }) {
		const transport = find(transports, transportId);
		const consumer = await transport.consume({ producerId, rtpCapabilities, paused: true });
		consumers.set(consumer.id, consumer);
		return { id: consumer.id, rtpParameters: consumer.rtpParameters };
	},

	/** @param {{ consumerId: string }} data */
	async resume({ consumerId }) {
		await find(consumers, consumerId).resume();
		return {};
	},
};

say({ version: mediasoup.version, pid: worker.pid });

for await (const line of readline.createInterface({ input: process.stdin })) {
	try {
		const { method, data } = JSON.parse(line);
		if (!Object.hasOwn(methods, method)) {
			throw new Error(`there is no method ${method}`);
		}
		// What a method is given is this project's own, in mediasoup's own types.
		say({ reply: await methods[/** @type {keyof typeof methods} */ (method)](data) });
	} catch (error) {
		say({ error: String(error) });
	}
}
worker.close();
