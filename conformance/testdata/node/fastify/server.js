// A Fastify app with its logger, a schema and a plugin, as an ES module.
import Fastify from 'fastify'

const fastify = Fastify({ logger: true })

fastify.get('/fastify', async () => ({ hello: 'world' }))

fastify.register(async (scope) => {
  scope.addHook('onSend', async (request, reply) => {
    reply.header('X-Scope', 'users')
  })
  scope.post('/users', {
    schema: {
      body: { type: 'object', required: ['name'], properties: { name: { type: 'string', minLength: 1 }, age: { type: 'integer' } } },
    },
  }, async (request, reply) => {
    request.log.info({ name: request.body.name }, 'a user')
    reply.code(201)
    return { user: request.body }
  })
}, { prefix: '/fastify' })

try {
  await fastify.listen({ port: process.env.PORT || 3000, host: '0.0.0.0' })
} catch (err) {
  fastify.log.error(err)
  process.exit(1)
}
