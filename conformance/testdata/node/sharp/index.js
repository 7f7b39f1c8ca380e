// A handler with a native module: it draws, turns and shrinks a picture.
const sharp = require('sharp')

exports.handler = async (event) => {
  const { width = 64, height = 32, format = 'png' } = event
  const picture = await sharp({ create: { width, height, channels: 3, background: { r: 255, g: 0, b: 0 } } })
    .rotate(90)
    .resize({ width: Math.round(height / 2) })
    .toFormat(format)
    .toBuffer()
  const { width: w, height: h, format: f } = await sharp(picture).metadata()
  const { dominant } = await sharp(picture).stats()
  return {
    statusCode: 200,
    headers: { 'Content-Type': `image/${f}`, 'X-Size': `${w}x${h}`, 'X-Red': String(dominant.r) },
    body: picture.toString('base64'),
    isBase64Encoded: true,
  }
}
