"use strict";

// This form of the document has samples of code.
Redoc.init("/openapi-3.1.json", { hideDownloadButton: true, expandResponses: "200,201,202", nativeScrollbars: true },
  document.getElementById("reference"));
