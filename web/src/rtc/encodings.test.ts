import { describe, expect, it } from 'vitest'
import { activate } from './encodings'

describe('activate', () => {
  const three = (): RTCRtpEncodingParameters[] => [{ rid: 'q' }, { rid: 'h' }, { rid: 'f' }]
  const states = (encodings: RTCRtpEncodingParameters[]) => encodings.map(({ active }) => active)

  it('switches off what nobody watches, and on again', () => {
    const encodings = three()
    expect(activate(encodings, [true, false, false])).toBe(true)
    expect(states(encodings)).toEqual([true, false, false])
    expect(activate(encodings, [true, false, false])).toBe(false)
    expect(activate(encodings, [])).toBe(true)
    expect(states(encodings)).toEqual([true, true, true])
  })

  it('takes what the server does not name for wanted', () => {
    const encodings = three()
    expect(activate(encodings, [false])).toBe(true)
    expect(states(encodings)).toEqual([false, true, true])
  })
})
