// Browsers start no workers from files; the search's runs in a hidden frame instead where a page was opened from one.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inside = frame.contentWindow
      window.addEventListener("message", ({ source, data }) => {
        if (source !== this.inside) return
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        if (this.onmessage) this.onmessage(event)
      })
      this.ready = new Promise(resolve => {
        const { document: page } = this.inside
        this.inside.loaded = resolve
        page.open()
        page.write(`<script>
          postMessage = data => parent.postMessage(data, "*")
          importScripts = (...urls) => urls.reduce((before, src) => before.then(() => new Promise(done => {
            document.body.append(Object.assign(document.createElement("script"), { src, onload: done, onerror: done }))
          })), Promise.resolve())
        </script><body><script src="${url}" onload="loaded()"></script>`)
        page.close()
      })
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
