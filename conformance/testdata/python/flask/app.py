"""A Flask app, with a template, a form and an error of its own."""

from flask import Flask, jsonify, render_template_string, request

app = Flask(__name__)


@app.route("/flask")
def hello_world():
    return "<p>Hello, World!</p>"


@app.route("/flask/hello/<name>")
def hello(name):
    return render_template_string("<p>Hello, {{ name }}!</p>", name=name)


@app.post("/flask/form")
def form():
    return jsonify(dict(request.form)), 201


@app.route("/flask/error")
def error():
    raise RuntimeError("out of order")
