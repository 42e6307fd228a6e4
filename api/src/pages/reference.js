"use strict";

Redoc.init("/openapi.json", { hideDownloadButton: true, expandResponses: "200,201,202", nativeScrollbars: true },
  document.getElementById("reference"));
