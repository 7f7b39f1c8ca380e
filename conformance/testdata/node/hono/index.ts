// A Hono app behind its own adapter for Lambda, which streams.
import { Hono } from 'hono'
import { streamHandle } from 'hono/aws-lambda'
import { stream } from 'hono/streaming'

const app = new Hono()

app.get('/hono/users/:id', (c) => c.json({ id: c.req.param('id'), query: c.req.query('q') }, 200, { 'X-Powered-By': 'Hono' }))

app.get('/hono/stream', (c) =>
  stream(c, async (to) => {
    for (let i = 0; i < 100; i++) await to.write(`piece ${i}\n`)
  }),
)

export const handler = streamHandle(app)
