// A foreign client of docs/signaling.md: stock mediasoup-client over a plain WebSocket, with nothing of ours in it.
// The test opens this page and calls `run`, then `figures` until they are good, then `leave`.
import { Device, version } from 'mediasoup-client'

const consumers = new Map()
let socket
let nextId = 1
let failure = null
const waiting = new Map()
const handlers = {}

function request(method, data = {}) {
  return new Promise((resolve, reject) => {
    const id = nextId++
    waiting.set(id, { resolve, reject, method })
    socket.send(JSON.stringify({ id, method, data }))
  })
}

function open(url) {
  socket = new WebSocket(url)
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.id === undefined) return handlers[frame.method]?.(frame.data)
    const { resolve, reject, method } = waiting.get(frame.id)
    waiting.delete(frame.id)
    if (frame.ok) resolve(frame.data)
    else reject(new Error(`${method}: ${frame.error.code}: ${frame.error.message}`))
  }
  socket.onclose = ({ code }) => {
    for (const { reject, method } of waiting.values()) reject(new Error(`${method}: the socket closed with ${code}`))
  }
  return new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error(`no connection to ${url}`))
  })
}

/** A picture that changes and a tone, made here, so that no device is needed. */
function sources() {
  const canvas = document.createElement('canvas')
  canvas.width = 640
  canvas.height = 360
  const pen = canvas.getContext('2d')
  let frame = 0
  setInterval(() => {
    pen.fillStyle = `hsl(${(frame++ * 7) % 360} 70% 50%)`
    pen.fillRect((frame * 13) % 600, (frame * 5) % 320, 60, 60)
  }, 50)
  const context = new AudioContext()
  const tone = new OscillatorNode(context, { frequency: 440 })
  const output = context.createMediaStreamDestination()
  tone.connect(output)
  tone.start()
  return { video: canvas.captureStream(20).getVideoTracks()[0], audio: output.stream.getAudioTracks()[0] }
}

/** Sound is decoded only while something plays it. */
function play(consumer) {
  const element = document.createElement(consumer.kind)
  element.autoplay = true
  element.muted = consumer.kind === 'video'
  element.srcObject = new MediaStream([consumer.track])
  document.body.append(element)
}

async function transportOf(device, direction, iceServers) {
  const info = await request('createWebRtcTransport', { direction })
  const create = direction === 'send' ? 'createSendTransport' : 'createRecvTransport'
  const transport = device[create]({ ...info, iceServers })
  transport.on('connect', ({ dtlsParameters }, done, fail) => {
    request('connectWebRtcTransport', { transportId: transport.id, dtlsParameters }).then(done, fail)
  })
  transport.on('produce', ({ kind, rtpParameters, appData }, done, fail) => {
    request('produce', { transportId: transport.id, kind, rtpParameters, appData }).then(done, fail)
  })
  return transport
}

/** Join `room` of the server at `url` (its ws: address). `role`: 'send', 'recv' or 'both'. */
async function run({ url, room, role }) {
  await open(url)
  const device = new Device()
  const { routerRtpCapabilities } = await request('getRouterRtpCapabilities', { room })
  await device.load({ routerRtpCapabilities })
  let ready
  const receiving = new Promise((resolve) => {
    ready = resolve
  })
  handlers.newConsumer = async ({ id, producerId, kind, rtpParameters }) => {
    try {
      const recv = await receiving
      const consumer = await recv.consume({ id, producerId, kind, rtpParameters })
      consumers.set(id, consumer)
      play(consumer)
      await request('resumeConsumer', { consumerId: id })
    } catch (error) {
      failure ??= String(error)
    }
  }
  handlers.consumerClosed = ({ consumerId }) => {
    consumers.get(consumerId)?.close()
    consumers.delete(consumerId)
  }
  const rtpCapabilities = device.rtpCapabilities // the name that 3.7 and 3.24 share
  const { iceServers } = await request('join', { room, displayName: `mediasoup-client ${version}`, rtpCapabilities })
  if (role !== 'send') ready(await transportOf(device, 'recv', iceServers))
  if (role === 'recv') return { version }
  const send = await transportOf(device, 'send', iceServers)
  const { audio, video } = sources()
  await send.produce({ track: audio })
  const encodings = [
    { scaleResolutionDownBy: 2, maxBitrate: 150_000 },
    { scaleResolutionDownBy: 1, maxBitrate: 600_000 },
  ]
  await send.produce({ track: video, encodings, codecOptions: { videoGoogleStartBitrate: 600 } })
  return { version }
}

/** Everything received so far, by consumer; `failure` is the first thing that went wrong, or null. */
async function figures() {
  const received = []
  for (const [id, consumer] of consumers) {
    for (const row of (await consumer.getStats()).values()) {
      if (row.type !== 'inbound-rtp') continue
      const { framesDecoded = 0, totalAudioEnergy = 0, packetsReceived = 0, frameWidth = 0 } = row
      received.push({ id, kind: consumer.kind, framesDecoded, totalAudioEnergy, packetsReceived, frameWidth })
    }
  }
  return { received, failure }
}

async function leave() {
  await request('leave')
  socket.close()
}

Object.assign(window, { run, figures, leave })
