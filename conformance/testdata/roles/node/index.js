// A handler that calls AWS with the SDK for JavaScript, and knows of no endpoint,
// region, key or role: as on Lambda, the environment does.
import { createServer } from 'node:http'
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'

const lambda = new LambdaClient({ maxAttempts: 1 })
const sts = new STSClient({ maxAttempts: 1 })

const commands = {
  who: async () => (await sts.send(new GetCallerIdentityCommand({}))).Arn,
  invoke: async ({ function: FunctionName }) =>
    Buffer.from((await lambda.send(new InvokeCommand({ FunctionName, Payload: '{"from": "a function"}' }))).Payload).toString(),
}

export const handler = async (event) => {
  try {
    return { answer: await commands[event.do](event) }
  } catch (err) {
    return { error: err.name, message: err.message }
  }
}

// The same as a web server.
if (process.env.PORT) {
  createServer(async (req, res) => {
    const query = Object.fromEntries(new URL(req.url, 'http://localhost').searchParams)
    res.end(JSON.stringify(await handler(query)))
  }).listen(process.env.PORT)
}
