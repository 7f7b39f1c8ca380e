// An express app as one finds it anywhere; it listens where PORT says.
const express = require('express')

const app = express()
app.use(express.json())

app.get('/express', (req, res) => {
  res.send('Hello World!')
})

app.get('/express/users/:id', (req, res) => {
  res.json({ id: req.params.id, query: req.query, agent: req.get('user-agent') })
})

app.post('/express/echo', (req, res) => {
  res.status(201).set('X-Seen', 'yes').json(req.body)
})

app.get('/express/stream', async (req, res) => {
  res.type('text/plain')
  for (let i = 0; i < 100; i++) {
    if (!res.write(`piece ${i}\n`)) await new Promise((go) => res.once('drain', go))
  }
  res.end()
})

app.get('/express/error', () => {
  throw new Error('out of order')
})

const port = process.env.PORT || 3000
app.listen(port, () => {
  console.log(`Example app listening on port ${port}`)
})
