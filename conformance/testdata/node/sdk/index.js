// A handler that brings AWS's SDK for JavaScript, version 3, along.
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient, PutCommand } from '@aws-sdk/lib-dynamodb'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'

// As on Lambda: the region comes from the environment, and clients outlive events.
const s3 = new S3Client({ maxAttempts: 1 })
const dynamo = new DynamoDBClient({ maxAttempts: 1 })
const documents = DynamoDBDocumentClient.from(dynamo)

const commands = {
  get: () => s3.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'key' })),
  list: () => dynamo.send(new ListTablesCommand({})),
  put: () => documents.send(new PutCommand({ TableName: 'table', Item: { id: 1 } })),
}

export const handler = async ({ do: what, endpoint }) => {
  if (what === 'region') return s3.config.region()
  if (endpoint) {
    process.env.AWS_ACCESS_KEY_ID = 'AKIAIOSFODNN7EXAMPLE'
    process.env.AWS_SECRET_ACCESS_KEY = 'secret'
  }
  try {
    return await commands[what]()
  } catch (err) {
    return { name: err.name, message: err.message, code: err.code ?? err.cause?.code }
  }
}
