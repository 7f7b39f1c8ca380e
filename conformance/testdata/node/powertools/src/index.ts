// Powertools for AWS Lambda (TypeScript) by its three ways: middy's middleware,
// decorators, and by hand.
import { Router } from '@aws-lambda-powertools/event-handler/http'
import { Logger } from '@aws-lambda-powertools/logger'
import type { LambdaInterface } from '@aws-lambda-powertools/commons/types'
import { correlationPaths, search } from '@aws-lambda-powertools/logger/correlationId'
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware'
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics'
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware'
import { Tracer } from '@aws-lambda-powertools/tracer'
import { captureLambdaHandler } from '@aws-lambda-powertools/tracer/middleware'
import middy from '@middy/core'
import type { Context } from 'aws-lambda'

const logger = new Logger({ persistentKeys: { team: 'booking' }, correlationIdSearchFn: search })
const metrics = new Metrics({ defaultDimensions: { stage: 'test' } })
const tracer = new Tracer()

interface Order {
  id?: string
}

const order = async (event: Order, _context: Context) => {
  if (!event.id) {
    throw new TypeError('an order has an id')
  }
  logger.appendKeys({ order: event.id })
  logger.debug('not shown')
  logger.info('an order', { details: { items: [1, 2] } })
  metrics.addDimension('kind', 'test')
  metrics.addMetric('orders', MetricUnit.Count, 1)
  tracer.putAnnotation('order', event.id)
  return { ordered: event.id, trace: tracer.getRootXrayTraceId() ?? null }
}

export const handler = middy(order)
  .use(captureLambdaHandler(tracer))
  .use(injectLambdaContext(logger, { resetKeys: true }))
  .use(logMetrics(metrics, { captureColdStartMetric: true }))

class Lambda implements LambdaInterface {
  @tracer.captureLambdaHandler()
  @logger.injectLambdaContext({ correlationIdPath: correlationPaths.EVENT_BRIDGE })
  @metrics.logMetrics()
  public async handler(_event: unknown, _context: Context) {
    try {
      throw new RangeError('caught')
    } catch (error) {
      logger.error('it failed', error as Error)
    }
    metrics.addMetric('decorated', MetricUnit.Milliseconds, 12.5)
    return this.greeting()
  }

  private greeting() {
    return 'decorated'
  }
}

const lambda = new Lambda()
export const decorated = lambda.handler.bind(lambda)

const app = new Router({ logger })
app.get('/powertools/users/:id', ({ params }) => ({ id: params.id }))
app.notFound(() => ({ error: 'nobody' }))

export const api = (event: unknown, context: Context) => app.resolve(event, context)
