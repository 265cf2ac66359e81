import { expect, it } from 'vitest'
import { signalingUrl } from './config'
import { bestGrid } from './grid'
import { randomRoomName, roomOf, toRoomName, visitOf } from './room'

const at = (href: string) => new URL(href) as unknown as Location

it.each([
  ['http://h/r/weekly-review', 'weekly-review'],
  ['http://h/r/weekly-review/', 'weekly-review'],
  ['http://h/r/?room=a', 'a'],
  ['http://h/r/Weekly', null],
  [`http://h/r/${'x'.repeat(65)}`, null],
  ['http://h/r/', null],
])('the room of %s', (href, room) => {
  expect(roomOf(at(href))).toBe(room)
})

it.each([
  ['Weekly Review!', 'weekly-review'],
  ['https://host/r/amber-fjord?name=x', 'amber-fjord'],
  ['   ', ''],
  ['Crème brûlée', 'creme-brulee'],
])('%j typed is room %j', (text, room) => {
  expect(toRoomName(text)).toBe(room)
})

it('random names are valid rooms', () => {
  expect(roomOf(at(`http://h/r/${randomRoomName()}`))).not.toBeNull()
})

it('the lobby is skipped only with a name', () => {
  expect(visitOf(at('http://h/r/a?name=Bo&join=1'))).toMatchObject({ name: 'Bo', skipLobby: true })
  expect(visitOf(at('http://h/r/a?join=1')).skipLobby).toBe(false)
  expect(visitOf(at('http://h/r/a?name=Bo')).skipLobby).toBe(false)
})

it.each([
  ['https://call.example', undefined, 'wss://call.example/ws'],
  ['http://localhost:3001', 'http://127.0.0.1:3000', 'ws://127.0.0.1:3000/ws'],
])('signaling for a page of %s', (origin, server, url) => {
  expect(signalingUrl({ origin }, server)).toBe(url)
})

it.each([1, 2, 3, 5, 9, 30])('%i tiles fit their box', (count) => {
  const { columns, width, height } = bestGrid(count, 1200, 700)
  const rows = Math.ceil(count / columns)
  expect(columns * width + (columns - 1) * 12).toBeLessThanOrEqual(1200)
  expect(rows * height + (rows - 1) * 12).toBeLessThanOrEqual(700)
  expect(width).toBeGreaterThan(0)
})
