// One person who publishes a made-up picture, and one who views it: stock mediasoup-client over our /ws, measured by getStats.
// The test calls `publish` in one browser and `view` in another, then `samples`; `prefer` asks for layers.
import { Device } from 'mediasoup-client'

const SAMPLE_MS = 250
const FRAME_MS = 40

const waiting = new Map()
const handlers = {}
let socket
let nextId = 1
let failure = null

function request(method, data = {}) {
  return new Promise((resolve, reject) => {
    const id = nextId++
    waiting.set(id, { resolve, reject, method })
    socket.send(JSON.stringify({ id, method, data }))
  })
}

async function enter({ url, room, name }) {
  socket = new WebSocket(url)
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.id === undefined) return handlers[frame.method]?.(frame.data)
    const { resolve, reject, method } = waiting.get(frame.id)
    waiting.delete(frame.id)
    if (frame.ok) resolve(frame.data)
    else reject(new Error(`${method}: ${frame.error.code}: ${frame.error.message}`))
  }
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error(`no connection to ${url}`))
  })
  const device = new Device()
  const { routerRtpCapabilities } = await request('getRouterRtpCapabilities', { room })
  await device.load({ routerRtpCapabilities })
  const { iceServers } = await request('join', { room, displayName: name, rtpCapabilities: device.rtpCapabilities })
  return { device, iceServers }
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

// ---- the publisher ----

/** Soft blobs that turn and drift: enough to fill 1500 kbit/s at 720p, not so much that 180p overshoots 150 kbit/s. */
function picture(height) {
  const canvas = document.createElement('canvas')
  canvas.width = (height / 9) * 16
  canvas.height = height
  const texture = document.createElement('canvas')
  texture.width = texture.height = 1600
  const paint = texture.getContext('2d')
  let seed = 7
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647
  paint.fillStyle = '#667'
  paint.fillRect(0, 0, 1600, 1600)
  for (let blob = 0; blob < 2600; blob++) {
    const [x, y, radius] = [random() * 1600, random() * 1600, 8 + random() * 40]
    const shade = paint.createRadialGradient(x, y, 0, x, y, radius)
    const hue = Math.floor(random() * 360)
    shade.addColorStop(0, `hsla(${hue} 60% ${30 + random() * 40}% / 0.9)`)
    shade.addColorStop(1, `hsla(${hue} 60% 50% / 0)`)
    paint.fillStyle = shade
    paint.fillRect(x - radius, y - radius, 2 * radius, 2 * radius)
  }
  const pen = canvas.getContext('2d', { alpha: false })
  let frame = 0
  setInterval(() => {
    frame += 1
    const angle = frame * 0.004
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((part) => (part * height) / 720)
    pen.setTransform(cos, sin, -sin, cos, canvas.width / 2, canvas.height / 2)
    pen.drawImage(texture, -800 + 40 * Math.sin(frame / 31), -800 + 40 * Math.cos(frame / 23))
  }, FRAME_MS)
  return canvas.captureStream().getVideoTracks()[0]
}

let producer

/** `codec`: a mime type. `encodings` as mediasoup-client takes them. `height` of the picture, which is 16:9. */
async function publish({ url, room, codec, encodings, height }) {
  const { device, iceServers } = await enter({ url, room, name: 'publisher' })
  const transport = await transportOf(device, 'send', iceServers)
  const chosen = device.rtpCapabilities.codecs.find(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase())
  if (!chosen) return { missing: codec }
  handlers.producerEncodingsWanted = async ({ wanted }) => {
    if (!producer) return
    const parameters = producer.rtpSender.getParameters()
    parameters.encodings.forEach((encoding, index) => {
      encoding.active = wanted[index] ?? true
    })
    await producer.rtpSender.setParameters(parameters)
  }
  const options = { videoGoogleStartBitrate: 1500 }
  producer = await transport.produce({ track: picture(height), encodings, codec: chosen, codecOptions: options })
  // It is the network that is measured: on a machine that is short of CPU time the encodings would shrink to three quarters.
  const parameters = producer.rtpSender.getParameters()
  parameters.degradationPreference = 'maintain-framerate-and-resolution'
  await producer.rtpSender.setParameters(parameters)
  return { sent: producer.rtpParameters }
}

/** What the encoder does, one row for each encoding. */
async function encoder() {
  return [...(await producer.getStats()).values()].filter(({ type }) => type === 'outbound-rtp')
}

// ---- the viewer ----

let consumer
let started
let offered = null
const rows = []
const shown = [] // [at, height] of each frame

/** Times are milliseconds since the call, by the page's clock. */
const clock = () => performance.now() - started

async function sample(receiver) {
  const at = clock()
  const reports = [...(await receiver.getStats()).values()]
  const ssrc = consumer.rtpParameters.encodings[0].ssrc // mediasoup-client's probator is an inbound-rtp too
  const inbound = reports.find(({ type, ssrc: other }) => type === 'inbound-rtp' && other === ssrc)
  if (!inbound) return
  const pair = reports.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded')
  const row = { at, rtt: pair?.currentRoundTripTime ?? null }
  for (const name of [
    'bytesReceived', 'headerBytesReceived', 'packetsReceived', 'packetsLost', 'retransmittedPacketsReceived',
    'retransmittedBytesReceived', 'framesReceived', 'framesDecoded', 'framesDropped', 'keyFramesDecoded', 'frameHeight',
    'freezeCount', 'totalFreezesDuration', 'pauseCount', 'totalPausesDuration', 'jitterBufferDelay',
    'jitterBufferEmittedCount', 'nackCount', 'pliCount', 'firCount',
  ]) row[name] = inbound[name] ?? 0
  rows.push(row)
}

/** Bundle and page are loaded before; from here on everything crosses the bad link. Returns once it has joined. */
async function view({ url, room }) {
  started = performance.now()
  const ready = enter({ url, room, name: 'viewer' }).then(async ({ device, iceServers }) =>
    transportOf(device, 'recv', iceServers),
  )
  handlers.newConsumer = async ({ id, producerId, kind, rtpParameters }) => {
    offered = clock()
    try {
      consumer = await (await ready).consume({ id, producerId, kind, rtpParameters })
      const element = document.createElement('video')
      Object.assign(element, { autoplay: true, muted: true, width: 1280, height: 720 })
      element.srcObject = new MediaStream([consumer.track])
      const show = (_, { height }) => {
        shown.push([Math.round(clock()), height])
        element.requestVideoFrameCallback(show)
      }
      element.requestVideoFrameCallback(show)
      document.body.replaceChildren(element)
      setInterval(() => sample(consumer.rtpReceiver), SAMPLE_MS)
      await request('resumeConsumer', { consumerId: id })
    } catch (error) {
      failure ??= String(error)
    }
  }
  await ready
}

/** Everything measured so far. `received` is what was negotiated. */
const samples = () => ({
  failure, offered, rows, shown, now: clock(), received: consumer?.rtpParameters ?? null,
})

const prefer = (spatialLayer, temporalLayer) =>
  request('setConsumerPreferredLayers', { consumerId: consumer.id, spatialLayer, temporalLayer })

async function leave() {
  await request('leave')
  socket.close()
}

Object.assign(window, { publish, encoder, view, samples, prefer, leave })
