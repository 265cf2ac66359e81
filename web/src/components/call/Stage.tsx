import type { Item } from './items'
import { Tile } from './Tile'

/** One item large, the rest in a strip: beside it on a wide screen, below it on a tall one. */
export function Stage({ items, main }: { items: Item[]; main: Item }) {
  const rest = items.filter(({ key }) => key !== main.key)
  return (
    <div className="flex size-full flex-col gap-3 p-1 lg:flex-row">
      <div className="min-h-0 min-w-0 flex-1">
        <Tile key={main.key} item={main} />
      </div>
      <ul
        aria-label="The others"
        className="-m-1 flex thin-scroll shrink-0 gap-2 overflow-auto p-1 max-lg:h-30 lg:w-54 lg:flex-col"
      >
        {rest.map((item) => (
          <li key={item.key} className="aspect-video shrink-0 max-lg:h-full lg:w-full">
            <Tile item={item} />
          </li>
        ))}
      </ul>
    </div>
  )
}
